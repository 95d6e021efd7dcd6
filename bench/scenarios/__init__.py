"""What is measured, in the order in which it is measured."""
