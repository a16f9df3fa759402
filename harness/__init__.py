"""The engine: matrix -> cells -> (train under a meter -> predict -> score) -> records. Knows no task, method or report."""
