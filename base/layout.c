/*
 * layout.c - where slots and their gradients lie; see pass_impl.h.
 *
 * The steps that make what a row reads of others, as its keys and values, run first. Behind them
 * each row is on its own: where only some are wanted, as of the last layer, the others end there.
 *
 * Up, slots that no backward reads share buffers: one is free again behind the last step that uses
 * it. So do the slots that are cheap to make again, which the way down makes where it needs them.
 * A slot that is kept rounded is float32 in a buffer that all layers share, and bfloat16 in memory
 * of its own from the last step that writes it on.
 * Down, gradients do: one is free behind the step that made its slot. An addition hands its
 * gradient on: where nothing is added to the one before the other has been read for the last time,
 * both are one buffer, as the residual stream's is from top to bottom.
 */
#include "base/pass_impl.h"

#include <assert.h>
#include <string.h>

static uint32_t bit(enum lorac_slot s)
{
    return 1U << s;
}

static bool in_place(const struct lorac_step *s)
{
    return s->out[0] == s->in[0];
}

/* Slots of a step among its READS_*. */
static uint32_t slots_of(const struct lorac_step *s, unsigned what)
{
    uint32_t slots = 0;
    for (size_t k = 0; k < LORAC_STEP_INS; k++) {
        if (what & (unsigned)(READS_IN0 << k)) { slots |= bit(s->in[k]); }
    }
    for (size_t k = 0; k < LORAC_STEP_OUTS; k++) {
        if (what & (unsigned)(READS_OUT0 << k)) { slots |= bit(s->out[k]); }
    }
    return slots & ~bit(SLOT_NONE);
}

/* Those that its backward reads. */
static uint32_t reads(const struct lorac_step *s)
{
    return slots_of(s, lorac_operations[s->op].reads);
}

/* Those that it takes of other rows, too. */
static uint32_t others(const struct lorac_step *s)
{
    return slots_of(s, lorac_operations[s->op].others);
}

static uint32_t outs(const struct lorac_step *s)
{
    return (bit(s->out[0]) | bit(s->out[1]) | bit(s->out[2])) & ~bit(SLOT_NONE);
}

static uint32_t ins(const struct lorac_step *s)
{
    return (bit(s->in[0]) | bit(s->in[1]) | bit(s->in[2])) & ~bit(SLOT_NONE);
}

/* ---- buffers ---- */

struct pool {
    struct lorac_buffers *b;
    uint32_t held[LORAC_SLOTS]; // by which slots each buffer is in use
};

static uint8_t take(struct pool *p, enum lorac_slot s, size_t width)
{
    size_t i = 0;
    while (i < p->b->n && (p->held[i] || p->b->width[i] != width)) {
        i++;
    }
    assert(i < LORAC_SLOTS);
    if (i == p->b->n) { p->b->width[p->b->n++] = width; }
    p->held[i] = bit(s);
    return (uint8_t)i;
}

static void let_go(struct pool *p, uint32_t slots)
{
    for (size_t i = 0; i < p->b->n; i++) {
        p->held[i] &= ~slots;
    }
}

/* ---- up ---- */

static uint32_t not_used_behind(const struct lorac_layout *t, size_t i)
{
    uint32_t used = 0;
    for (size_t k = i + 1; k < t->steps->n; k++) {
        used |= ins(lorac_layout_step(t, k));
    }
    return ~used;
}

/* Which slots are kept, and how, and which are made again. */
static void choose(struct lorac_layout *t, enum lorac_layout_keep keep)
{
    uint32_t read = 0;
    uint32_t exact = 0;
    uint32_t cheap = 0;
    for (size_t i = 0; i < t->steps->n; i++) {
        const struct lorac_step *s = lorac_layout_step(t, i);
        read |= reads(s);
        exact |= slots_of(s, lorac_operations[s->op].reads & ~lorac_operations[s->op].rough);
        if (in_place(s)) {
            cheap &= ~bit(s->out[0]);
        } else if (lorac_operations[s->op].cheap && !(ins(s) & cheap)) {
            cheap |= bit(s->out[0]);
        }
    }
    t->kept = keep ? read & ~cheap & ~t->outer : 0;
    t->remade = keep ? read & cheap & ~t->outer : 0;
    t->rounded = keep == KEEP_ROUNDED ? t->kept & ~exact : 0;
    uint32_t done = 0;
    for (size_t i = t->steps->n; i-- > 0;) {
        t->rounds[i] = t->rounded & outs(lorac_layout_step(t, i)) & ~done;
        done |= t->rounds[i];
    }
}

/* The order of the steps: first those of which all rows are read. */
static void find_order(struct lorac_layout *t)
{
    bool all[LORAC_STEPS_MAX] = {false}; // do all rows take step i of the program?
    uint32_t read = 0;                   // slots that are read of all rows by steps behind
    uint32_t written = 0;                // slots that such steps write
    size_t n = 0;
    for (size_t i = t->steps->n; i-- > 0;) {
        const struct lorac_step *s = &t->steps->at[i];
        all[i] = (outs(s) & read) || ((ins(s) | outs(s)) & written);
        if (!in_place(s)) { read &= ~outs(s); }
        read |= all[i] ? ins(s) : others(s);
        written |= all[i] ? outs(s) : 0;
    }
    for (size_t i = 0; i < t->steps->n; i++) {
        if (all[i]) { t->up[n++] = (uint8_t)i; }
    }
    t->cut = n;
    for (size_t i = 0; i < t->steps->n; i++) {
        if (!all[i]) { t->up[n++] = (uint8_t)i; }
    }
}

/* What rows that are on their own take from where all were there. */
static void find_across(struct lorac_layout *t)
{
    uint32_t before = t->outer;
    uint32_t after = 0;
    for (size_t i = 0; i < t->steps->n; i++) {
        const struct lorac_step *s = lorac_layout_step(t, i);
        if (i < t->cut) {
            before |= outs(s);
        } else {
            t->across |= ins(s) & ~others(s) & before & ~after;
            after |= outs(s);
        }
    }
}

static void place_slots(struct lorac_layout *t, const struct lorac_config *c, enum lorac_slot last)
{
    struct pool pool = {.b = &t->buffers};
    uint32_t seen = 0;
    for (size_t i = 0; i < t->steps->n; i++) {
        const struct lorac_step *s = lorac_layout_step(t, i);
        for (size_t k = 0; k < LORAC_STEP_OUTS; k++) {
            enum lorac_slot o = s->out[k];
            if (o == SLOT_NONE || (seen & bit(o))) { continue; }
            seen |= bit(o);
            t->maker[o] = (uint8_t)i;
            if (bit(o) & (t->outer | (t->kept & ~t->rounded))) { continue; }
            t->buffer[o] = take(&pool, o, lorac_slot_width(c, o));
        }
        let_go(&pool, not_used_behind(t, i) & ~bit(last) & ~t->rounded);
    }
}

/* ---- down ---- */

/* The next step below i that changes the gradient of a slot, counted from 1; 0: none. */
static size_t next_share(const struct lorac_layout *t, size_t i, enum lorac_slot slot)
{
    for (size_t k = i; k > 0; k--) {
        const struct lorac_step *s = lorac_layout_step(t, k - 1);
        uint32_t shares = ins(s) & ~(s->op == OP_ADD ? bit(s->in[0]) : 0);
        if (shares & bit(slot)) { return k; }
    }
    return 0;
}

/* The lowest step below i that reads the gradient of a slot, counted from 1; above i: none does. */
static size_t last_read(const struct lorac_layout *t, size_t i, enum lorac_slot slot)
{
    size_t at = i + 1;
    for (size_t k = i; k > 0; k--) {
        if (outs(lorac_layout_step(t, k - 1)) & bit(slot)) { at = k; }
    }
    return at;
}

/* May slot `s` get its first share at step i by using a buffer that `held` use? */
static bool may_share(const struct lorac_layout *t, size_t i, uint32_t held, enum lorac_slot s)
{
    held |= bit(s);
    for (enum lorac_slot a = SLOT_X; a < LORAC_SLOTS; a++) {
        for (enum lorac_slot b = SLOT_X; b < LORAC_SLOTS; b++) {
            if (a == b || !(held & bit(a)) || !(held & bit(b))) { continue; }
            if (next_share(t, i, a) >= last_read(t, i, b)) { return false; }
        }
    }
    return true;
}

/* Nothing below step i reads what slot `s` held on the way up. */
static bool may_go_over(const struct lorac_layout *t, size_t i, enum lorac_slot s)
{
    bool free = (t->kept & bit(s)) && lorac_operations[lorac_layout_step(t, i)->op].over;
    for (size_t k = 0; k < i && free; k++) {
        free = !(reads(lorac_layout_step(t, k)) & bit(s));
    }
    return free;
}

/* From the last step to the first; linear layers that read one slot, one behind the other and on
 * one side of the cut, in their own order. */
static void order_down(struct lorac_layout *t)
{
    size_t n = 0;
    for (size_t end = t->steps->n; end > 0;) {
        const struct lorac_step *last = lorac_layout_step(t, end - 1);
        size_t first = end - 1;
        while (first > 0 && first != t->cut && last->op == OP_LINEAR &&
               lorac_layout_step(t, first - 1)->op == OP_LINEAR &&
               lorac_layout_step(t, first - 1)->in[0] == last->in[0]) {
            first--;
        }
        for (size_t i = first; i < end; i++) {
            t->down[n++] = (uint8_t)i;
        }
        end = first;
    }
}

static void place_gradients(struct lorac_layout *t, const struct lorac_config *c,
                            enum lorac_slot last, bool top)
{
    struct pool pool = {.b = &t->grads};
    uint32_t given = bit(last);
    if (top) {
        t->over = bit(last);
    } else {
        t->grad[last] = take(&pool, last, lorac_slot_width(c, last));
    }
    for (size_t n = 0; n < t->steps->n; n++) {
        size_t i = t->down[n];
        const struct lorac_step *s = lorac_layout_step(t, i);
        for (size_t k = in_place(s) ? 1 : 0; k < LORAC_STEP_INS; k++) {
            enum lorac_slot a = s->in[k];
            if (a == SLOT_NONE) { continue; }
            t->flow[i][k] = given & bit(a) ? FLOW_ADD : FLOW_WRITE;
            assert(!(given & bit(a)) || lorac_operations[s->op].adds);
            if (given & bit(a)) { continue; }
            given |= bit(a);
            uint8_t out = t->grad[s->out[0]];
            if (s->op == OP_ADD && !(t->over & bit(s->out[0])) &&
                may_share(t, i, pool.held[out], a)) {
                t->flow[i][k] = FLOW_SHARE;
                t->grad[a] = out;
                pool.held[out] |= bit(a);
            } else if (may_go_over(t, i, a)) {
                t->over |= bit(a);
            } else {
                t->grad[a] = take(&pool, a, lorac_slot_width(c, a));
            }
        }
        if (!in_place(s)) { let_go(&pool, outs(s)); }
    }
}

void lorac_layout_make(struct lorac_layout *t, const struct lorac_config *c,
                       const struct lorac_steps *steps, uint32_t outer, enum lorac_slot last,
                       bool top, enum lorac_layout_keep keep)
{
    assert(steps->n <= LORAC_STEPS_MAX);
    *t = (struct lorac_layout){.steps = steps, .outer = outer};
    find_order(t);
    find_across(t);
    choose(t, keep);
    place_slots(t, c, last);
    order_down(t);
    if (keep) { place_gradients(t, c, last, top); }
}
