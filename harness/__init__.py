"""The engine: matrix -> cells -> (train under a meter -> predict -> score) -> records. Knows no particular task, method or report."""
