"""The store in a browser: pages, a JSON API with the same content, and who may ask for them."""
