"""Several processes that train one model together: how they are started, watched, and exchange arrays over `mx.distributed`."""
