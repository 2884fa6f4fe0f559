"""Where work runs that is many: processes of this machine, or a cluster of Ray."""
