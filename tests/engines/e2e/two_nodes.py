"""A cluster of two nodes on this machine: says its address, and takes the second node away when a line comes."""

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
os.environ["RAY_AUTH_MODE"] = "disabled"

from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
print(f"address {cluster.address}", flush=True)
for _ in sys.stdin:  # until the test closes it
    if second is not None:
        cluster.remove_node(second, allow_graceful=False)
        second = None
        print("removed", flush=True)
cluster.shutdown()
