"""How long a taxi in New York takes: `nyc_taxi/mlp` and `nyc_taxi/program`."""
