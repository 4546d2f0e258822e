"""Where jobs run: one interface, and one module per place: this machine's processes, Dask, and SLURM."""
