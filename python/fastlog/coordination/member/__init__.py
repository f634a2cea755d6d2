"""The broker's side of a cluster of many: it registers, obeys the controller, writes what any may."""
