"""``mfer predict``: write predictions for photos or a video to a folder; a repeated command skips what is done."""
