def why_unavailable():
    return "not written yet"


CudaBackend = None
