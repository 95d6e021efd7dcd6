"""Several masters and servers, while parts of them are killed."""
