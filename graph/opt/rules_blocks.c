/* rules_blocks.c -- rules (rules.def) by which operations read block-quantised
 * tensors themselves, where they read their numbers.
 *
 * In: a product or a gather of what a cast made of blocks. Out: the same of
 * the blocks. The numbers are those of the cast, bit for bit, and so is what is
 * computed of them in the same order (eval_block.c, kernel/lower_block.c).
 */
#include "rewrite.h"

/* the blocks that operand i is a cast of; 0: it is none */
static uint32_t
blocks_of(const krsi_site *s, int i)
{
    const krsi_node *n = krsi_operand(s, i);
    if (n->op != KRSI_CAST)
        return 0;
    krs_dtype from = (krs_dtype)s->g->node[n->in[0]]->dtype;
    return krs_dtype_class_of(from) == KRS_CLASS_BLOCK ? n->in[0] : 0;
}

/* Blocks lie along k where b is [N,K]. */
krsi_verdict
krsi_rule_matmul_blocks(krsi_site *s)
{
    bool turned = s->words.word[1] != 0; /* ta, tb */
    uint32_t blocks = turned ? blocks_of(s, 1) : 0;
    if (!blocks)
        return KRSI_STAYS;
    s->in[1] = blocks;
    return KRSI_AGAIN;
}

krsi_verdict
krsi_rule_take_blocks(krsi_site *s)
{
    bool rows = s->words.word[0] == 0 && krsi_operand(s, 0)->rank >= 2;
    uint32_t blocks = rows ? blocks_of(s, 0) : 0;
    if (!blocks)
        return KRSI_STAYS;
    s->in[0] = blocks;
    return KRSI_AGAIN;
}
