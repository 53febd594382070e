"""The tables and figures of arXiv 2312.04528, done again with local models: plans, runs, results."""
