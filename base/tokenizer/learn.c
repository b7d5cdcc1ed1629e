/*
 * learn.c - pieces with counts to merges, as models/bpe/trainer.rs of the reference.
 *
 * A heap holds pairs of neighbouring tokens, each with its count and the words where it stood when
 * it was put there. The highest count is taken: where it has sunk meanwhile it goes back with its
 * present count, otherwise the pair merges in its words, which changes the counts of the pairs
 * beside it and makes new ones. A word is an array of token ids that shrinks in place.
 *
 * A token is made by one pair only: what merges within a stretch of bytes does not depend on what
 * stands around it, as long as nothing merges across its ends. So a pair gets its places when its
 * younger token is made, stands in the heap once, and never comes back after its merge.
 */
#include "base/core/mem.h"
#include "base/tokenizer/train_impl.h"

#include <assert.h>
#include <string.h>

static const uint32_t none = UINT32_MAX;

struct lorac_pair {
    int32_t a, b;   // a = -1: empty slot
    uint32_t fresh; // 1 + its index in learner.fresh, 0: not there
    uint32_t merge; // 1 + its index in learned.merges, 0: not merged yet
    int64_t count;  // over all words
};
/* A list of words. */
struct place {
    uint32_t word, next;
};
struct entry {
    int64_t count; // of the pair when it was put here
    int32_t a, b;
    uint32_t first, last; // places
};
struct learner {
    struct lorac_learned *out;
    const struct lorac_words *words;
    int32_t *ids;     // all words, one behind the other
    uint32_t *length; // (words) ids that are left
    struct place *places;
    size_t n_places, cap_places;
    uint32_t unused;     // places given back
    struct entry *fresh; // pairs that got new places since the last merge
    size_t n_fresh, cap_fresh;
    struct entry *heap;
    size_t n_heap, cap_heap;
};

/* ---- pairs ---- */

static size_t hash_pair(int32_t a, int32_t b)
{
    uint64_t h = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9E3779B97F4A7C15ULL;
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93ULL;
    return (size_t)(h ^ h >> 32);
}

/* The pair's slot, or the empty one where it belongs. */
static struct lorac_pair *find_pair(const struct lorac_pairs *p, int32_t a, int32_t b)
{
    size_t i = hash_pair(a, b) & p->mask;
    while (p->slots[i].a >= 0 && (p->slots[i].a != a || p->slots[i].b != b)) {
        i = (i + 1) & p->mask;
    }
    return &p->slots[i];
}

static enum lorac_status pairs_resize(struct lorac_pairs *p, size_t size, struct lorac_err *err)
{
    struct lorac_pairs larger = {.n = p->n, .mask = size - 1};
    larger.slots = lorac_mem_new(size, sizeof *larger.slots);
    if (!larger.slots) { return lorac_no_memory(err); }
    for (size_t i = 0; i < size; i++) {
        larger.slots[i].a = -1;
    }
    for (size_t i = 0; p->slots && i <= p->mask; i++) {
        const struct lorac_pair *pair = &p->slots[i];
        if (pair->a >= 0) { *find_pair(&larger, pair->a, pair->b) = *pair; }
    }
    lorac_mem_free(p->slots);
    *p = larger;
    return LORAC_OK;
}

/* ---- the heap ---- */

static bool before(const struct entry *x, const struct entry *y)
{
    if (x->count != y->count) { return x->count > y->count; }
    return x->a != y->a ? x->a < y->a : x->b < y->b;
}

/* Into the room. */
static void push(struct learner *l, struct entry e)
{
    size_t i = l->n_heap++;
    for (; i > 0 && before(&e, &l->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        l->heap[i] = l->heap[(i - 1) / 2];
    }
    l->heap[i] = e;
}

static struct entry pop(struct learner *l)
{
    const struct entry top = l->heap[0];
    const struct entry last = l->heap[--l->n_heap];
    size_t i = 0;
    for (size_t child = 1; child < l->n_heap; child = 2 * i + 1) {
        child += child + 1 < l->n_heap && before(&l->heap[child + 1], &l->heap[child]);
        if (!before(&l->heap[child], &last)) { break; }
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = last;
    return top;
}

/* ---- counts and places ---- */

static void give_back(struct learner *l, const struct entry *e)
{
    l->places[e->last].next = l->unused;
    l->unused = e->first;
}

static enum lorac_status new_place(uint32_t *at, struct learner *l, uint32_t word,
                                   struct lorac_err *err)
{
    *at = l->unused;
    if (*at != none) {
        l->unused = l->places[*at].next;
    } else {
        struct place *p =
            lorac_mem_grow(l->places, l->n_places, &l->cap_places, l->n_places + 1, sizeof *p);
        if (!p) { return lorac_no_memory(err); }
        l->places = p;
        *at = (uint32_t)l->n_places++; // at most two for each byte of the distinct pieces
    }
    l->places[*at] = (struct place){.word = word, .next = none};
    return LORAC_OK;
}

/* The pair stands in `word` now. A word's places of one pair come one after the other: one is
 * enough. */
static enum lorac_status add_place(struct learner *l, struct lorac_pair *pair, uint32_t word,
                                   struct lorac_err *err)
{
    uint32_t at = none;
    assert(l->fresh || !pair->fresh);
    if (pair->fresh && l->places[l->fresh[pair->fresh - 1].last].word == word) { return LORAC_OK; }
    if (!pair->fresh) {
        struct entry *p =
            lorac_mem_grow(l->fresh, l->n_fresh, &l->cap_fresh, l->n_fresh + 1, sizeof *p);
        if (!p) { return lorac_no_memory(err); }
        l->fresh = p;
    }
    enum lorac_status st = new_place(&at, l, word, err);
    if (st) { return st; }
    if (!pair->fresh) {
        l->fresh[l->n_fresh++] = (struct entry){.a = pair->a, .b = pair->b, .first = at};
        pair->fresh = (uint32_t)l->n_fresh;
    } else {
        l->places[l->fresh[pair->fresh - 1].last].next = at;
    }
    l->fresh[pair->fresh - 1].last = at;
    return LORAC_OK;
}

/* The pair (a,b) occurs once more, or less, in `word`. */
static enum lorac_status change(struct learner *l, int32_t a, int32_t b, bool more, uint32_t word,
                                struct lorac_err *err)
{
    struct lorac_pairs *pairs = &l->out->pairs;
    if (2 * (pairs->n + 1) > pairs->mask) {
        enum lorac_status st = pairs_resize(pairs, 2 * (pairs->mask + 1), err);
        if (st) { return st; }
    }
    struct lorac_pair *pair = find_pair(pairs, a, b);
    if (pair->a < 0) {
        *pair = (struct lorac_pair){.a = a, .b = b};
        pairs->n++;
    }
    const int64_t times = (int64_t)l->words->count[word];
    pair->count += more ? times : -times;
    return more ? add_place(l, pair, word, err) : LORAC_OK;
}

static bool is_too_long(const struct learner *l, const struct entry *e)
{
    return l->out->tokens.length[e->a] + l->out->tokens.length[e->b] > TOK_MAX_TOKEN;
}

/* What is fresh goes into the heap. */
static enum lorac_status push_fresh(struct learner *l, struct lorac_err *err)
{
    struct entry *p =
        lorac_mem_grow(l->heap, l->n_heap, &l->cap_heap, l->n_heap + l->n_fresh, sizeof *p);
    if (!p) { return lorac_no_memory(err); }
    l->heap = p;
    for (size_t i = 0; i < l->n_fresh; i++) {
        struct entry *e = &l->fresh[i];
        struct lorac_pair *pair = find_pair(&l->out->pairs, e->a, e->b);
        pair->fresh = 0;
        e->count = pair->count;
        if (e->count > 0 && !is_too_long(l, e)) {
            push(l, *e);
        } else {
            give_back(l, e);
        }
    }
    l->n_fresh = 0;
    return LORAC_OK;
}

/* ---- merging ---- */

/* Each (a,b) in the word, from the left, becomes `id`. */
static enum lorac_status merge_word(struct learner *l, uint32_t word, int32_t *s, int32_t a,
                                    int32_t b, int32_t id, struct lorac_err *err)
{
    const size_t n = l->length[word];
    enum lorac_status st = LORAC_OK;
    size_t k = 0; // s[0,k) is done
    for (size_t i = 0; i < n && !st;) {
        if (i + 1 == n || s[i] != a || s[i + 1] != b) {
            s[k++] = s[i++];
            continue;
        }
        if (k > 0) { st = change(l, s[k - 1], a, false, word, err); }
        if (k > 0 && !st) { st = change(l, s[k - 1], id, true, word, err); }
        if (i + 2 < n && !st) { st = change(l, b, s[i + 2], false, word, err); }
        if (i + 2 < n && !st) { st = change(l, id, s[i + 2], true, word, err); }
        s[k++] = id;
        i += 2;
    }
    l->length[word] = (uint32_t)k;
    return st;
}

/* The token that a pair becomes, and the merge. */
static enum lorac_status add_merge(int32_t *id, struct lorac_learned *l, int32_t a, int32_t b,
                                   struct lorac_err *err)
{
    char both[TOK_MAX_TOKEN];
    size_t n = 0;
    size_t m = 0;
    const char *left = lorac_vocab_text(&l->tokens, a, &n);
    const char *right = lorac_vocab_text(&l->tokens, b, &m);
    memcpy(both, left, n); // together at most TOK_MAX_TOKEN: is_too_long()
    memcpy(both + n, right, m);
    *id = lorac_vocab_find(&l->tokens, both, n + m);
    if (*id >= 0) {
        assert((size_t)*id < l->n_specials);
        return lorac_fail(err, LORAC_EUSER,
                          "special token '%.*s' has the name that the merge of '%s' and '%s' gets: "
                          "choose another",
                          (int)(n + m), both, left, right);
    }
    struct lorac_learned_merge *p =
        lorac_mem_grow(l->merges, l->n_merges, &l->cap_merges, l->n_merges + 1, sizeof *p);
    if (!p) { return lorac_no_memory(err); }
    l->merges = p;
    *id = (int32_t)l->tokens.size;
    enum lorac_status st = lorac_vocab_reserve(&l->tokens, 1, l->tokens.size + 1, n + m, err);
    if (st) { return st; }
    lorac_vocab_put(&l->tokens, *id, both, n + m);
    p[l->n_merges++] = (struct lorac_learned_merge){.a = a, .b = b, .id = *id};
    find_pair(&l->pairs, a, b)->merge = (uint32_t)l->n_merges;
    return LORAC_OK;
}

static enum lorac_status merge_pair(struct learner *l, const struct entry *e, struct lorac_err *err)
{
    int32_t id = -1;
    enum lorac_status st = add_merge(&id, l->out, e->a, e->b, err);
    for (uint32_t at = e->first; at != none && !st; at = l->places[at].next) {
        const uint32_t word = l->places[at].word;
        int32_t *s = l->ids + (l->words->texts.at[word] - 1); // where its text is in the arena
        st = merge_word(l, word, s, e->a, e->b, id, err);
    }
    if (st) { return st; }
    give_back(l, e);
    return push_fresh(l, err);
}

/* ---- the whole ---- */

/* Each word as the ids of its bytes, and the pairs in them. */
static enum lorac_status start(struct learner *l, struct lorac_err *err)
{
    const struct lorac_vocab *texts = &l->words->texts;
    enum lorac_status st = pairs_resize(&l->out->pairs, 1 << 10, err);
    l->ids = lorac_mem_new(texts->used, sizeof *l->ids);
    l->length = lorac_mem_new(texts->count, sizeof *l->length);
    if (!st && (!l->ids || !l->length)) { st = lorac_no_memory(err); }
    for (uint32_t word = 0; word < texts->count && !st; word++) {
        const unsigned char *s = (const unsigned char *)texts->arena + (texts->at[word] - 1);
        int32_t *ids = l->ids + (texts->at[word] - 1);
        l->length[word] = texts->length[word];
        for (size_t i = 0; i < l->length[word]; i++) {
            ids[i] = l->out->byte_id[s[i]];
        }
        for (size_t i = 0; i + 1 < l->length[word] && !st; i++) {
            st = change(l, ids[i], ids[i + 1], true, word, err);
        }
    }
    return st ? st : push_fresh(l, err);
}

static enum lorac_status merge_all(struct learner *l, const struct lorac_tokenizer_options *o,
                                   struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    const size_t first = l->out->tokens.count;
    while (l->out->tokens.count < o->vocab_size && l->n_heap && !st) {
        struct entry top = pop(l);
        const int64_t count = find_pair(&l->out->pairs, top.a, top.b)->count;
        if (top.count != count) {
            top.count = count;
            push(l, top); // where it was
            continue;
        }
        if (top.count < 1 || (uint64_t)top.count < o->min_frequency) { break; }
        st = merge_pair(l, &top, err);
        if (o->progress) {
            o->progress(o->who, "merging",
                        (double)(l->out->tokens.count - first) / (double)(o->vocab_size - first));
        }
    }
    return st;
}

enum lorac_status lorac_learn(struct lorac_learned *out, size_t *tokens,
                              const struct lorac_words *w, const struct lorac_tokenizer_options *o,
                              struct lorac_err *err)
{
    struct learner l = {.out = out, .words = w, .unused = none};
    enum lorac_status st = start(&l, err);
    if (!st) { st = merge_all(&l, o, err); }
    *tokens = 0;
    for (size_t i = 0; i < w->texts.count && !st; i++) {
        *tokens += (size_t)w->count[i] * l.length[i];
    }
    lorac_mem_free(l.ids);
    lorac_mem_free(l.length);
    lorac_mem_free(l.places);
    lorac_mem_free(l.fresh);
    lorac_mem_free(l.heap);
    return st;
}

enum lorac_status lorac_learned_init(struct lorac_learned *l, const char *const *specials,
                                     size_t n_specials, struct lorac_err *err)
{
    size_t bytes = 512; // of the 256 characters, at most two each
    for (size_t i = 0; i < n_specials; i++) {
        bytes += strlen(specials[i]);
    }
    enum lorac_status st =
        lorac_vocab_reserve(&l->tokens, n_specials + 256, n_specials + 256, bytes, err);
    if (st) { return st; }
    l->n_specials = n_specials;
    for (size_t i = 0; i < n_specials; i++) {
        lorac_vocab_put(&l->tokens, (int32_t)i, specials[i], strlen(specials[i]));
    }
    int32_t id = (int32_t)n_specials;
    for (uint32_t cp = 0; cp < 512; cp++) { // all characters that stand for bytes are among these
        char text[4];
        const int byte = lorac_char_byte(cp);
        if (byte < 0) { continue; }
        l->byte_id[byte] = id;
        lorac_vocab_put(&l->tokens, id++, text, lorac_utf8_put(text, cp));
    }
    return LORAC_OK;
}

enum lorac_status lorac_learned_encode(struct lorac_ids *ids, const struct lorac_learned *l,
                                       const char *s, size_t n, struct lorac_err *err)
{
    const size_t from = ids->n;
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < n && !st; i++) {
        st = lorac_ids_add(ids, l->byte_id[(unsigned char)s[i]], err);
    }
    while (!st) {
        uint32_t lowest = UINT32_MAX;
        size_t where = 0;
        for (size_t i = from; i + 1 < ids->n; i++) {
            const struct lorac_pair *p = find_pair(&l->pairs, ids->at[i], ids->at[i + 1]);
            if (p->a >= 0 && p->merge && p->merge < lowest) {
                lowest = p->merge;
                where = i;
            }
        }
        if (lowest == UINT32_MAX) { break; }
        ids->at[where] = l->merges[lowest - 1].id;
        memmove(&ids->at[where + 1], &ids->at[where + 2], (ids->n - where - 2) * sizeof *ids->at);
        ids->n--;
    }
    return st;
}

void lorac_learned_release(struct lorac_learned *l)
{
    lorac_vocab_release(&l->tokens);
    lorac_mem_free(l->merges);
    lorac_mem_free(l->pairs.slots);
    *l = (struct lorac_learned){0};
}
