"""One module for each group of commands; cli/__main__.py imports them when they are called."""
