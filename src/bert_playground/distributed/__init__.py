"""Several processes train one model: launcher, heartbeats, exchange of arrays."""
