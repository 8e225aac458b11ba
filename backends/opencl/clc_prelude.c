/* clc_prelude.c -- the macros that every program begins with.
 *
 * The compilers of processors take the built-in functions of wide vectors as
 * long functions over narrow ones, which makes compiling several times slower:
 * so memory is read through pointers to vectors of small alignment there, and
 * roundings are elementwise built-ins where the compiler has them. Other
 * compilers load in one piece what they are told lies at a multiple of its size.
 */
#include "clc.h"

const char *
krsi_clc_prelude(bool is_processor, bool has_fma)
{
#define COMMON                                              \
    "#pragma OPENCL FP_CONTRACT OFF\n"                      \
    "#ifndef __has_builtin\n"                               \
    "#define __has_builtin(name) 0\n"                       \
    "#endif\n"                                              \
    "#if __has_builtin(__builtin_elementwise_roundeven)\n"  \
    "#define ROUND(x) __builtin_elementwise_roundeven(x)\n" \
    "#define FLOOR(x) __builtin_elementwise_floor(x)\n"     \
    "#else\n"                                               \
    "#define ROUND(x) rint(x)\n"                            \
    "#define FLOOR(x) floor(x)\n"                           \
    "#endif\n"                                              \
    "#define CAST(t, x) ((t)(x))\n"                         \
    "#if __has_builtin(__builtin_convertvector)\n"          \
    "#define TO(t, x) __builtin_convertvector(x, t)\n"      \
    "#else\n"                                               \
    "#define TO(t, x) convert_##t(x)\n"                     \
    "#endif\n"                                              \
    "#if __has_builtin(__builtin_elementwise_min)\n"        \
    "#define LEAST(a, b) __builtin_elementwise_min(a, b)\n" \
    "#define MOST(a, b) __builtin_elementwise_max(a, b)\n"  \
    "#else\n"                                               \
    "#define LEAST(a, b) min(a, b)\n"                       \
    "#define MOST(a, b) max(a, b)\n"                        \
    "#endif\n"                                              \
    "#if __has_builtin(__builtin_reduce_or)\n"              \
    "#define ANY(m) (__builtin_reduce_or(m) != 0)\n"        \
    "#define ALL(m) (__builtin_reduce_and(m) != 0)\n"       \
    "#else\n"                                               \
    "#define ANY(m) any(m)\n"                               \
    "#define ALL(m) all(m)\n"                               \
    "#endif\n"
#define FUSED "#define MAD(a, b, c) fma(a, b, c)\n"
#define TWICE "#define MAD(a, b, c) ((a) * (b) + (c))\n"
#define DIRECT                                                             \
    "#define SMALL(t, n) typedef t##n t##n##_u "                           \
    "__attribute__((aligned(sizeof(t))));\n"                               \
    "#define SMALLS(t) SMALL(t, 2) SMALL(t, 4) SMALL(t, 8) SMALL(t, 16)\n" \
    "SMALLS(float) SMALLS(int) SMALLS(long)\n"                             \
    "SMALLS(ushort) SMALLS(char) SMALLS(uchar)\n"                          \
    "#define LOAD(space, t, n, p) (*(const space t##n##_u *)(p))\n"        \
    "#define LOAD_ALIGNED(space, t, n, p) LOAD(space, t, n, p)\n"          \
    "#define STORE(space, t, n, p, v) (*(space t##n##_u *)(p) = (v))\n"
#define BY_FUNCTION                                                     \
    "#define LOAD(space, t, n, p) vload##n(0, p)\n"                     \
    "#define LOAD_ALIGNED(space, t, n, p) (*(const space t##n *)(p))\n" \
    "#define STORE(space, t, n, p, v) vstore##n(v, 0, p)\n"
    if (is_processor)
        return has_fma ? COMMON FUSED DIRECT : COMMON TWICE DIRECT;
    return has_fma ? COMMON FUSED BY_FUNCTION : COMMON TWICE BY_FUNCTION;
}
