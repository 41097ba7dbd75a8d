"""What is told, in words: the same for the command line and for the page. Pure."""
