"""Ray: evaluation on a cluster, and Airtune as a searcher of Ray Tune."""
