/* conform_graphs.c -- the expressions of the golden cases, in Kersey.
 *
 * The cases write expressions in words of mathematics: juxtaposition and @
 * are products, ^T transposes, "mean" after a comma is a reduction. Each is
 * one row below, the text as it stands in cases.json (`attrs.graph`) or
 * second_order.json (`function`) beside the same in public builders.
 */
#include "conform.h"

#include <string.h>

/* an input of the case by its name there */
#define IN(name) input_named(c, #name)

static krs_node
transposed(krs_node x)
{
    return krs_transpose(x, 0, 1);
}

static krs_node
positive(krs_node x)
{
    return krs_gt(x, krs_like(x, 0));
}

static krs_node
safe_sqrt(struct conform_case *c)
{
    krs_node x = IN(x), is_positive = positive(x);
    krs_node inside = krs_where(is_positive, x, krs_like(x, 1));
    return krs_where(is_positive, krs_sqrt(inside), krs_like(x, 0));
}

static krs_node
guarded_sqrt(struct conform_case *c)
{
    krs_node x = IN(x);
    return krs_where(positive(x), krs_sqrt(x), krs_like(x, 0));
}

static krs_node
permuted_reshape(struct conform_case *c)
{
    return krs_reshape(krs_permute(IN(x), KRS_AXES(2, 0, 1)), KRS_SHAPE(8, -1));
}

static krs_node
transposed_add(struct conform_case *c)
{
    return krs_add(transposed(IN(x)), IN(y));
}

static krs_node
swiglu_block(struct conform_case *c)
{
    krs_node x = IN(x); /* [5,8] */
    krs_node gate = krs_silu(krs_matmul_nt(x, IN(wg)));
    krs_node up = krs_matmul_nt(x, IN(wu));
    return krs_add(x, krs_matmul_nt(krs_mul(gate, up), IN(wd)));
}

static krs_node
shared_subexpression(struct conform_case *c)
{
    krs_node x = IN(x);
    krs_node top = krs_add(krs_exp(x), krs_mul(krs_exp(x), krs_sin(x)));
    return krs_div(krs_sum(top, KRS_AXES(-1)),
                   krs_mean(krs_exp(x), KRS_AXES(-1)));
}

static krs_node
residual_chain(struct conform_case *c)
{
    krs_node x = IN(x), y = x;
    for (int i = 0; i < 3; i++)
        y = krs_add(x, krs_tanh(y));
    return y;
}

static krs_node
doubled(struct conform_case *c)
{
    return krs_scale(IN(x), 2);
}

static krs_node
own_product(struct conform_case *c)
{
    krs_node x = IN(x);
    return krs_add(krs_matmul(x, x), krs_mul(x, transposed(x)));
}

static krs_node
classifier(struct conform_case *c)
{
    krs_node y = krs_layer_norm(IN(x), IN(w), IN(b), 1e-5);
    return krs_cross_entropy(krs_matmul_nt(y, IN(u)), IN(target), KRS_NONE,
                             NULL);
}

static krs_node
stopped(struct conform_case *c)
{
    krs_node x = IN(x);
    return krs_add(krs_mul(x, krs_stop_gradient(x)),
                   krs_stop_gradient(krs_exp(x)));
}

static krs_node
below_maximum(struct conform_case *c)
{
    krs_node x = IN(x);
    return krs_sub(x, krs_amax_keep(x, KRS_AXES(-1)));
}

/* ---- scalar functions of second_order.json ---- */

static krs_node
total(krs_node x)
{
    return krs_sum(x, KRS_ALL_AXES);
}

static krs_node
tanh_square(struct conform_case *c)
{
    return total(krs_square(krs_tanh(krs_matmul(IN(x), IN(w)))));
}

static krs_node
softmax_regression(struct conform_case *c)
{
    return krs_cross_entropy(krs_matmul(IN(x), IN(w)), IN(target), KRS_NONE,
                             NULL);
}

static krs_node
layer_norm_cubed(struct conform_case *c)
{
    krs_node y = krs_layer_norm(IN(x), IN(w), IN(b), 1e-5);
    return total(krs_pow_scalar(y, 3));
}

static krs_node
rms_norm_sine(struct conform_case *c)
{
    return total(krs_sin(krs_rms_norm(IN(x), IN(w), 1e-6)));
}

static krs_node
gelu_mlp(struct conform_case *c)
{
    krs_node hidden = krs_gelu(krs_matmul_nt(IN(x), IN(w1)));
    return krs_mean(krs_square(krs_matmul_nt(hidden, IN(w2))), KRS_ALL_AXES);
}

static krs_node
silu_gate(struct conform_case *c)
{
    krs_node b = IN(b);
    return total(krs_mul(krs_mul(krs_silu(IN(a)), b), b));
}

static krs_node
logsumexp_square(struct conform_case *c)
{
    return total(krs_square(krs_logsumexp(IN(x), KRS_AXES(-1))));
}

static krs_node
causal_attention(struct conform_case *c)
{
    krs_attention_options options = {.struct_size = sizeof options,
                                     .causal = true};
    krs_node y = krs_attention(IN(q), IN(k), IN(v), KRS_NONE, &options);
    return total(krs_square(y));
}

static krs_node
rosenbrock(struct conform_case *c)
{
    krs_node x = IN(x);
    krs_node next = krs_slice(x, 0, 1, KRS_END, 1);
    krs_node here = krs_slice(x, 0, 0, -1, 1);
    krs_node valley = krs_square(krs_sub(next, krs_square(here)));
    krs_node slope = krs_square(krs_sub(krs_like(here, 1), here));
    return total(krs_add(krs_scale(valley, 100), slope));
}

static krs_node
exp_over_square(struct conform_case *c)
{
    krs_node b = IN(b);
    return total(krs_div(krs_exp(IN(a)), krs_offset(krs_square(b), 1)));
}

static const struct {
    const char *text;
    conform_build *build;
} expressions[] = {
  /* cases.json */
    {"where(x>0, sqrt(where(x>0,x,1)), 0)",                         safe_sqrt           },
    {"where(x>0, sqrt(x), 0)",                                      guarded_sqrt        },
    {"reshape(permute(x,[2,0,1]), [8,-1])",                         permuted_reshape    },
    {"add(transpose(x,0,1), y)",                                    transposed_add      },
    {"x + (silu(x wg^T) * (x wu^T)) wd^T",                          swiglu_block        },
    {"sum(exp(x)+exp(x)*sin(x), -1) / mean(exp(x), -1)",            shared_subexpression},
    {"x + tanh(x + tanh(x + tanh(x)))",                             residual_chain      },
    {"x*2",                                                         doubled             },
    {"x@x + x*x^T",                                                 own_product         },
    {"cross_entropy(layer_norm(x,w,b,eps=1e-5) u^T, target), mean", classifier          },
    {"x*stop_gradient(x) + stop_gradient(exp(x))",                  stopped             },
    {"x - amax(x,-1,keepdim)",                                      below_maximum       },
 /* second_order.json */
    {"sum(tanh(x w)^2)",                                            tanh_square         },
    {"cross_entropy(x w, target), mean",                            softmax_regression  },
    {"sum(layer_norm(x, w, b, eps=1e-5)^3)",                        layer_norm_cubed    },
    {"sum(sin(rms_norm(x, w, eps=1e-6)))",                          rms_norm_sine       },
    {"mean((gelu(x w1^T) w2^T)^2), exact gelu",                     gelu_mlp            },
    {"sum(silu(a) * b * b)",                                        silu_gate           },
    {"sum(logsumexp(x, -1)^2)",                                     logsumexp_square    },
    {"sum(causal_attention(q,k,v)^2), one head, scale 1/sqrt(d)",
     causal_attention                                                                   },
    {"sum(100*(x[1:]-x[:-1]^2)^2 + (1-x[:-1])^2)",                  rosenbrock          },
    {"sum(exp(a) / (1 + b^2))  (a: [n,1], b: [d])",                 exp_over_square     },
};

conform_build *
find_expression(const char *text)
{
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        if (!strcmp(expressions[i].text, text))
            return expressions[i].build;
    }
    return NULL;
}
