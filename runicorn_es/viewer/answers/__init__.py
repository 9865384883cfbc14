"""What the pages and the JSON API say: each a function of the desk and of what is asked, to a Struct. No HTML here."""
