// One cell with one type of operands: compiled for each, side by side (native.py), and called by library.cpp.

#include "recurrence.h"

#if defined(OPERAND_F32) || HAS_BF16
template void forward<OPERAND, CELL>(const Sequence&, Word*, const Crew&);
template void backward<OPERAND, CELL>(const Sequence&, const Gradients&, Word*, const Crew&);
#endif
