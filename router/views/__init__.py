"""What clients receive: typed dictionaries, which are the documents' schemas too, and the functions that fill them."""
