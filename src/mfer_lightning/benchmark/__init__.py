"""How fast this is: each figure as a ratio to a plain baseline of the same run, and to what the machine can do."""
