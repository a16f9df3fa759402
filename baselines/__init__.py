"""One file per method. Each is found through the entry-point group ``tunebench.methods``, as an outsider's would be."""
