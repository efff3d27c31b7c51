"""How far features of one point agree between views."""
