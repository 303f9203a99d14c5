from .tensor import Tensor, symbol
from .autodiff import grad
from .mode import no_grad, scope, detect_nan
from .backend import device
