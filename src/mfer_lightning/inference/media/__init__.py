"""Photos, videos and cameras: find the files, decode them, find and track the faces."""
