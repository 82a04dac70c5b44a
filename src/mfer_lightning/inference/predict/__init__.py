"""``mfer predict``: write predictions of photos or a video to a folder; a repeated command resumes."""
