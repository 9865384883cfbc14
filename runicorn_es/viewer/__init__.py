"""The pages: a server for browsers, on this machine, and what it draws."""
