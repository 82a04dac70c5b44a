"""Networks from other papers, and their building blocks."""
