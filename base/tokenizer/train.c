/* train.c - see train.h: the options, and the course of a training. */
#include "base/core/mem.h"
#include "base/core/sibling.h"
#include "base/tokenizer/train_impl.h"

#include <string.h>

/* What one training works with. */
struct training {
    const char **specials; // owned array of borrowed
    size_t n_specials;
    struct lorac_pattern pattern;
    struct lorac_cuts cuts;
    struct lorac_words words;
    struct lorac_learned learned;
};

static bool is_listed(const struct training *t, const char *name)
{
    for (size_t i = 0; i < t->n_specials; i++) {
        if (strcmp(t->specials[i], name) == 0) { return true; }
    }
    return false;
}

/* A character that stands for a byte, and nothing else. */
static bool is_byte(const char *text)
{
    uint32_t cp = 0;
    const size_t n = strlen(text);
    return lorac_utf8_next(text, n, &cp) == n && lorac_char_byte(cp) >= 0;
}

/* `what` is not empty, not too long, and UTF-8. */
static enum lorac_status check_text(const char *what, const char *text, struct lorac_err *err)
{
    const size_t n = strlen(text);
    if (n == 0 || n > TOK_MAX_TOKEN) {
        return lorac_fail(err, LORAC_EUSER, "%s holds %zu bytes, 1 to %d were expected", what, n,
                          TOK_MAX_TOKEN);
    }
    const size_t bad = lorac_utf8_check(text, n);
    if (bad == n) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER, "%s is not UTF-8: byte 0x%02X at offset %zu", what,
                      (unsigned char)text[bad], bad);
}

static enum lorac_status add_special(struct training *t, const char *name, struct lorac_err *err)
{
    enum lorac_status st = check_text("a special token", name, err);
    if (!st && is_byte(name)) {
        st = lorac_fail(err, LORAC_EUSER,
                        "special token '%s' is one of the characters that stand for bytes: choose "
                        "a longer one",
                        name);
    }
    if (!st) { t->specials[t->n_specials++] = name; }
    return st;
}

/* Those of the list, then BOS, EOS and padding where they are not in it. */
static enum lorac_status list_specials(struct training *t, const struct lorac_tokenizer_options *o,
                                       struct lorac_err *err)
{
    const char *const named[] = {o->bos, o->eos, o->pad};
    enum lorac_status st = LORAC_OK;
    t->specials = lorac_mem_new(o->n_specials + 3, sizeof *t->specials);
    if (!t->specials) { return lorac_no_memory(err); }
    for (size_t i = 0; i < o->n_specials && !st; i++) {
        if (is_listed(t, o->specials[i])) {
            st = lorac_fail(err, LORAC_EUSER, "special token '%s' is given twice", o->specials[i]);
        } else {
            st = add_special(t, o->specials[i], err);
        }
    }
    for (size_t i = 0; i < 3 && !st; i++) {
        if (named[i] && !is_listed(t, named[i])) { st = add_special(t, named[i], err); }
    }
    return st;
}

static enum lorac_status check_sizes(const struct training *t,
                                     const struct lorac_tokenizer_options *o, struct lorac_err *err)
{
    const size_t least = 256 + t->n_specials;
    if (o->n_files == 0) { return lorac_fail(err, LORAC_EUSER, "no text file to learn from"); }
    if (o->vocab_size < least) {
        return lorac_fail(err, LORAC_EUSER,
                          "a vocabulary of %zu entries is too small: the 256 bytes and %zu special "
                          "token%s need %zu",
                          o->vocab_size, t->n_specials, t->n_specials == 1 ? "" : "s", least);
    }
    if (o->vocab_size > TOK_MAX_VOCAB) {
        return lorac_fail(err, LORAC_EUSER,
                          "a vocabulary of %zu entries is too large: at most %d are supported",
                          o->vocab_size, TOK_MAX_VOCAB);
    }
    if (o->min_frequency == 0) {
        return lorac_fail(err, LORAC_EUSER, "the minimum frequency is 0, expected 1 or more");
    }
    return LORAC_OK;
}

/* All that can be wrong before a file is read. */
static enum lorac_status prepare(struct training *t, const char *dir,
                                 const struct lorac_tokenizer_options *o, struct lorac_err *err)
{
    const struct lorac_json at = {.file = "the pre-tokenizer", .where = "pattern"};
    enum lorac_status st = list_specials(t, o, err);
    if (!st) { st = check_sizes(t, o, err); }
    if (!st && o->separator) { st = check_text("the separator", o->separator, err); }
    if (!st && o->pattern) { st = check_text("the pattern", o->pattern, err); }
    if (!st && !lorac_dir_is_empty(dir)) {
        st = lorac_fail(err, LORAC_EUSER, "%s: exists and is not an empty folder", dir);
    }
    if (!st) {
        st = lorac_pattern_regex(&t->pattern, o->pattern ? o->pattern : lorac_gpt2_pattern, &at,
                                 err);
    }
    if (!st) { st = lorac_cuts_init(&t->cuts, t->specials, t->n_specials, o->separator, err); }
    if (!st) { st = lorac_learned_init(&t->learned, t->specials, t->n_specials, err); }
    return st;
}

static enum lorac_status learn(struct lorac_tokenizer_report *report, struct training *t,
                               const struct lorac_tokenizer_options *o, struct lorac_err *err)
{
    const struct lorac_learned *l = &t->learned;
    enum lorac_status st = lorac_words_read(&t->words, report, o, &t->cuts, &t->pattern, err);
    if (!st) { st = lorac_learn(&t->learned, &report->tokens, &t->words, o, err); }
    if (st) { return st; }
    report->entries = l->tokens.count;
    report->merges = l->n_merges;
    report->pieces = t->words.pieces;
    report->distinct = t->words.texts.count;
    if (report->entries < o->vocab_size && !o->allow_fewer) {
        return lorac_fail(
            err, LORAC_EUSER,
            "the text fills %zu of %zu entries: no pair is left that occurs %zu time%s; "
            "give more text, ask for fewer entries, or allow fewer",
            report->entries, o->vocab_size, o->min_frequency, o->min_frequency == 1 ? "" : "s");
    }
    return LORAC_OK;
}

enum lorac_status lorac_tokenizer_train(struct lorac_tokenizer_report *report, const char *dir,
                                        const struct lorac_tokenizer_options *o,
                                        struct lorac_err *err)
{
    struct training t = {0};
    struct lorac_tokenizer_report found = {0};
    char *to = NULL;
    char *temp = NULL;
    enum lorac_status st = lorac_sibling(&to, &temp, dir, err);
    if (!st) { st = prepare(&t, to, o, err); }
    if (!st) { st = learn(&found, &t, o, err); }
    if (st) { goto done; }
    st = lorac_dir_remove(temp, err); // of a process that died with this number
    if (!st) { st = lorac_dir_make(temp, err); }
    if (!st) { st = lorac_tokenizer_write(temp, &t.learned, o, err); }
    if (!st) { st = lorac_tokenizer_check(temp, &t.learned, o, &t.pattern, err); }
    if (!st) { st = lorac_dir_replace(to, temp, err); }
    if (st) { lorac_discard(temp); }
done:
    if (!st) { *report = found; }
    lorac_learned_release(&t.learned);
    lorac_words_release(&t.words);
    lorac_cuts_release(&t.cuts);
    lorac_pattern_release(&t.pattern);
    lorac_mem_free(t.specials);
    lorac_mem_free(to);
    lorac_mem_free(temp);
    return st;
}
