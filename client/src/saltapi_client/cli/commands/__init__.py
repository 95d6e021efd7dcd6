"""What each command does; one module for each subject, loaded when it is needed."""
