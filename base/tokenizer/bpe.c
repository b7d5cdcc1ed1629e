/*
 * bpe.c - byte-pair encoding of one piece, as models/bpe/{model,word}.rs of the
 * reference.
 *
 * The piece's characters are a linked list of symbols; a heap holds every neighbouring pair that
 * merges, lowest rank first and leftmost among equals. A merge changes at most two pairs, so a
 * piece of n bytes takes O(n log n), also where the whole text is one piece. Such a text is still
 * cut in front of each U+2581, but for those behind a character that some merge joins with it: no
 * merge crosses the cut, so the ids are the same, and the heap stays small.
 */
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <string.h>

static const uint32_t none = UINT32_MAX;

static bool before(struct lorac_candidate x, struct lorac_candidate y)
{
    return x.rank != y.rank ? x.rank < y.rank : x.at < y.at;
}

static void push(struct lorac_bpe *b, struct lorac_candidate c)
{
    size_t i = b->n_heap++;
    for (; i > 0 && before(c, b->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        b->heap[i] = b->heap[(i - 1) / 2];
    }
    b->heap[i] = c;
}

static struct lorac_candidate pop(struct lorac_bpe *b)
{
    struct lorac_candidate top = b->heap[0];
    struct lorac_candidate last = b->heap[--b->n_heap];
    size_t i = 0;
    for (size_t child = 1; child < b->n_heap; child = 2 * i + 1) {
        child += child + 1 < b->n_heap && before(b->heap[child + 1], b->heap[child]);
        if (!before(b->heap[child], last)) { break; }
        b->heap[i] = b->heap[child];
        i = child;
    }
    b->heap[i] = last;
    return top;
}

/* The pair of symbol i and the one behind it, if it merges. */
static void push_pair(struct lorac_bpe *b, const struct lorac_tokenizer *t, uint32_t i)
{
    const uint32_t j = b->symbols[i].next;
    if (j == none) { return; }
    const struct lorac_merge *m = lorac_merges_find(&t->merges, b->symbols[i].id, b->symbols[j].id);
    if (m) { push(b, (struct lorac_candidate){.rank = m->rank, .at = i, .id = m->id}); }
}

static void add_symbol(struct lorac_bpe *b, int32_t id)
{
    const uint32_t i = (uint32_t)b->n++;
    b->symbols[i] = (struct lorac_symbol){.id = id, .prev = i ? i - 1 : none, .next = none};
    if (i) { b->symbols[i - 1].next = i; }
}

/* The bytes of a character that is no token, where the vocabulary has all of them. */
static bool add_bytes(struct lorac_bpe *b, const struct lorac_tokenizer *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (t->bytes[(unsigned char)s[i]] < 0) { return false; }
    }
    for (size_t i = 0; i < n; i++) {
        add_symbol(b, t->bytes[(unsigned char)s[i]]);
    }
    return n > 0;
}

/* merge_word() of the reference. Unknown characters wait in `unknown` until a known one comes;
 * bytes do not end the wait, which puts them in front: the reference does so too. */
static enum lorac_status symbols_of(struct lorac_bpe *b, const struct lorac_tokenizer *t,
                                    const char *s, size_t n, struct lorac_err *err)
{
    bool unknown = false;
    uint32_t cp = 0;
    for (size_t i = 0, len = 0; i < n; i += len) {
        len = lorac_utf8_next(s + i, n - i, &cp);
        int32_t id = cp < 512 ? t->chars[cp] : lorac_vocab_find(&t->vocab, s + i, len);
        if (id >= 0) {
            if (unknown) { add_symbol(b, t->unk); }
            unknown = false;
            add_symbol(b, id);
        } else if (t->byte_fallback && add_bytes(b, t, s + i, len)) {
            continue;
        } else if (t->unk >= 0) {
            if (unknown && !t->fuse_unk) { add_symbol(b, t->unk); }
            unknown = true;
        } else {
            return lorac_fail(err, LORAC_EUSER,
                              "the tokenizer has no token for U+%04X and no unknown token",
                              (unsigned)cp);
        }
    }
    if (unknown) { add_symbol(b, t->unk); }
    return LORAC_OK;
}

static void merge_all(struct lorac_bpe *b, const struct lorac_tokenizer *t)
{
    struct lorac_symbol *s = b->symbols;
    for (uint32_t i = 0; i + 1 < b->n; i++) {
        push_pair(b, t, i);
    }
    while (b->n_heap) {
        const struct lorac_candidate top = pop(b);
        const uint32_t i = top.at;
        const uint32_t j = s[i].next;
        if (s[i].id < 0 || j == none) { continue; }
        const struct lorac_merge *m = lorac_merges_find(&t->merges, s[i].id, s[j].id);
        if (!m || m->id != top.id) { continue; } // the pair is not there any more
        s[i].id = m->id;
        s[i].next = s[j].next;
        s[j].id = -1;
        if (s[i].next != none) { s[s[i].next].prev = i; }
        if (s[i].prev != none) { push_pair(b, t, s[i].prev); }
        push_pair(b, t, i);
    }
}

/* Room for n symbols; the heap holds n - 1 pairs at first, and every merge pops one and pushes two.
 */
static enum lorac_status reserve(struct lorac_bpe *b, size_t n, struct lorac_err *err)
{
    if (n > b->cap) {
        struct lorac_symbol *p = lorac_mem_grow(b->symbols, 0, &b->cap, n, sizeof *p);
        if (!p) { return lorac_no_memory(err); }
        b->symbols = p;
    }
    if (2 * n > b->cap_heap) {
        struct lorac_candidate *p = lorac_mem_grow(b->heap, 0, &b->cap_heap, 2 * n, sizeof *p);
        if (!p) { return lorac_no_memory(err); }
        b->heap = p;
    }
    b->n = 0;
    b->n_heap = 0;
    return LORAC_OK;
}

static const char mark[] = "\xE2\x96\x81"; // U+2581, the space of SentencePiece
enum { MARK = sizeof mark - 1 };

/* Where the first U+2581 stands in s[0,n) behind another character, whose last byte is none of
 * `glued` (NULL: any will do); n: nowhere. */
static size_t find_cut(const char *s, size_t n, const bool *glued)
{
    for (size_t i = 1; i + MARK <= n; i++) {
        const char *hit = memchr(s + i, mark[0], n - i);
        if (!hit) { break; }
        i = (size_t)(hit - s);
        if (n - i < MARK || memcmp(hit, mark, MARK) != 0) { continue; }
        if (i >= MARK && memcmp(hit - MARK, mark, MARK) == 0) { continue; }
        if (!glued || !glued[(unsigned char)s[i - 1]]) { return i; }
    }
    return n;
}

void lorac_bpe_find_cuts(struct lorac_tokenizer *t)
{
    t->cut = lorac_vocab_find(&t->vocab, mark, MARK) >= 0;
    for (size_t i = 0; i <= t->merges.mask && t->cut; i++) {
        size_t n = 0;
        if (t->merges.slots[i].a < 0) { continue; }
        const char *s = lorac_vocab_text(&t->vocab, t->merges.slots[i].id, &n);
        t->cut = s != NULL;
        for (size_t at = s ? find_cut(s, n, NULL) : n; at < n;) {
            t->glued[(unsigned char)s[at - 1]] = true;
            at += find_cut(s + at, n - at, NULL);
        }
    }
}

/* The ids of s[0,n), by merging, or as the model's other kind has it. */
static enum lorac_status merge_part(struct lorac_ids *out, struct lorac_bpe *b,
                                    const struct lorac_tokenizer *t, const char *s, size_t n,
                                    struct lorac_err *err)
{
    if (t->wordpiece.is) { return lorac_wordpiece_encode(out, t, s, n, err); }
    enum lorac_status st = reserve(b, n + 1, err);
    if (!st) { st = symbols_of(b, t, s, n, err); }
    if (st) { return st; }
    merge_all(b, t);
    for (size_t i = 0; i < b->n && !st; i++) {
        if (b->symbols[i].id >= 0) { st = lorac_ids_add(out, b->symbols[i].id, err); }
    }
    return st;
}

static void forget(struct lorac_bpe *b)
{
    lorac_vocab_release(&b->known);
    b->ids.n = b->end.n = 0;
}

/* s[0,n) became `ids`. */
static enum lorac_status remember(struct lorac_bpe *b, const char *s, size_t n, const int32_t *ids,
                                  size_t n_ids, struct lorac_err *err)
{
    if (b->end.n == TOK_KNOWN) { forget(b); }
    const size_t before = b->ids.n;
    enum lorac_status st = lorac_vocab_reserve(&b->known, 1, b->end.n + 1, n, err);
    for (size_t i = 0; i < n_ids && !st; i++) {
        st = lorac_ids_add(&b->ids, ids[i], err);
    }
    if (!st) { st = lorac_ids_add(&b->end, (int32_t)b->ids.n, err); }
    if (st) {
        b->ids.n = before;
        return st;
    }
    lorac_vocab_put(&b->known, (int32_t)b->end.n - 1, s, n);
    return LORAC_OK;
}

static enum lorac_status encode_part(struct lorac_ids *out, struct lorac_bpe *b,
                                     const struct lorac_tokenizer *t, const char *s, size_t n,
                                     struct lorac_err *err)
{
    const size_t begin = out->n;
    if (n > TOK_KNOWN_BYTES) { return merge_part(out, b, t, s, n, err); }
    const int32_t k = lorac_vocab_find(&b->known, s, n);
    if (k < 0) {
        enum lorac_status st = merge_part(out, b, t, s, n, err);
        return st ? st : remember(b, s, n, out->at + begin, out->n - begin, err);
    }
    enum lorac_status st = LORAC_OK;
    for (int32_t i = k ? b->end.at[k - 1] : 0; i < b->end.at[k] && !st; i++) {
        st = lorac_ids_add(out, b->ids.at[i], err);
    }
    return st;
}

enum lorac_status lorac_bpe_encode(struct lorac_ids *out, struct lorac_bpe *b,
                                   const struct lorac_tokenizer *t, const char *s, size_t n,
                                   struct lorac_err *err)
{
    if (t->ignore_merges) {
        int32_t id = lorac_vocab_find(&t->vocab, s, n);
        if (id >= 0) { return lorac_ids_add(out, id, err); }
    }
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < n && !st;) {
        const size_t part = t->cut ? find_cut(s + i, n - i, t->glued) : n - i;
        st = encode_part(out, b, t, s + i, part, err);
        i += part;
    }
    return st;
}

void lorac_bpe_release(struct lorac_bpe *b)
{
    lorac_mem_free(b->symbols);
    lorac_mem_free(b->heap);
    lorac_vocab_release(&b->known);
    lorac_ids_free(&b->ids);
    lorac_ids_free(&b->end);
    *b = (struct lorac_bpe){0};
}
