"""Say what is wrong with the service and what to do, for the command `doctor`."""
