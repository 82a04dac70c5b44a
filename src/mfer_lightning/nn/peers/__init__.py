"""Networks of other papers, one file each."""
