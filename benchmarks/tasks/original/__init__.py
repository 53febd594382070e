"""Tasks `original/...`: HPOBench's MLP, HPOLib and NAS-Bench-201, from the tables that their authors published."""
