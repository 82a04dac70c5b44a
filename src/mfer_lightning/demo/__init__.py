"""The local web page: a photo in, faces with their emotions out. Nothing is kept."""
