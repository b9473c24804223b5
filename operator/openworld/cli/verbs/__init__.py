"""One module for each verb: its options, what it asks the cluster, and what it prints."""
