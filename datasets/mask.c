/*
 * mask.c - the tokens of an example that are hidden and asked for: the objective masked_lm.
 *
 *   ids      [CLS] the cat sat on it [SEP]      draws of each token, a function of (seed, "mask",
 *   ids      [CLS] the [MASK] sat on it [SEP]   epoch, example, place)
 *   labels     -    -   cat    -   -  -   -
 */
#include "base/core/rng.h"
#include "datasets/dataset.h"

#include <assert.h>

#define MASKED 0.8 // of the tokens that are asked for; another token stands for
#define RANDOM 0.1 // these, and the rest stay
static const double words = 4294967296.0; // a draw is 32 bits

/* The draws of token t: is it asked for, what becomes of it, which other stands there. */
struct draws {
    double asked, becomes;
    uint32_t other;
};

static struct draws draw(const struct lorac_masking *m, size_t i, size_t t)
{
    uint32_t bits[4];
    lorac_rng_bits(bits, m->key, m->epoch, (uint64_t)i << 32 | t);
    return (struct draws){bits[0] / words, bits[1] / words, bits[2]};
}

/* Token t is asked for, and the model reads another there, or the same. */
static void hide(struct lorac_example *e, const struct lorac_dataset *d, size_t t,
                 const struct draws *x)
{
    uint64_t size = lorac_tokenizer_size(d->tokenizer);
    e->labels.at[t] = e->ids.at[t];
    if (x->becomes < MASKED) {
        e->ids.at[t] = lorac_tokenizer_mask(d->tokenizer);
    } else if (x->becomes < MASKED + RANDOM) {
        e->ids.at[t] = (int32_t)(x->other * size >> 32);
    }
}

enum lorac_status lorac_example_mask(struct lorac_example *e, const struct lorac_dataset *d,
                                     size_t i, const struct lorac_masking *m, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t lowest = SIZE_MAX; // the token whose draw is: asked for where no other is
    double least = 2.0;
    bool any = false;
    e->labels.n = 0;
    for (size_t t = 0; t < e->ids.n && !st; t++) {
        st = lorac_ids_add(&e->labels, LORAC_NO_LABEL, err);
        if (st || lorac_token_is_special(d->tokenizer, e->ids.at[t])) { continue; }
        struct draws x = draw(m, i, t);
        if (x.asked < least) {
            least = x.asked;
            lowest = t;
        }
        if (x.asked >= d->o.mask_share) { continue; }
        hide(e, d, t, &x);
        any = true;
    }
    if (st || any) { return st; }
    assert(lowest < e->ids.n); // pieces of special tokens alone are left out
    struct draws x = draw(m, i, lowest);
    hide(e, d, lowest, &x);
    return LORAC_OK;
}

size_t lorac_maskable(const struct lorac_dataset *d, const int32_t *ids, size_t n)
{
    size_t some = 0;
    for (size_t t = 0; t < n; t++) {
        some += !lorac_token_is_special(d->tokenizer, ids[t]);
    }
    return some;
}
