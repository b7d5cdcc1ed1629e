/* pages.h - man pages, and completion for bash and zsh, from the tables of verbs, options and keys.
 *
 * The build runs `lorac --pages DIR` and installs what it writes there: man1/lorac.1 and
 * man1/lorac-VERB.1, bash/lorac, zsh/_lorac. */
#ifndef LORAC_TOOLS_PAGES_H
#define LORAC_TOOLS_PAGES_H

#include "tools/args.h"

/* Write all of them. */
LORAC_MUST_CHECK enum lorac_status pages_write(const char *dir, const struct verb *const *verbs,
                                               size_t n_verbs, struct lorac_err *err);

/* What may stand as an option's value, read from the word that stands for it in the table. */
enum pages_value {
    PAGES_NOTHING, // a switch
    PAGES_TEXT,    // whatever
    PAGES_FILE,
    PAGES_DIR,
    PAGES_SETTING, // KEY=VALUE of a recipe
    PAGES_KEY,     // KEY of one
    PAGES_WORDS,   // one of those that `|` parts
};
enum pages_value pages_value(const struct option *o);
/* Of PAGES_WORDS: the words, with blanks between them. */
const char *pages_words(char words[256], const struct option *o);

/* Append one; `verb` NULL: the page of the program itself. */
void pages_man(struct lorac_buf *b, const struct verb *verb, const struct verb *const *verbs,
               size_t n_verbs);
void pages_bash(struct lorac_buf *b, const struct verb *const *verbs, size_t n_verbs);
void pages_zsh(struct lorac_buf *b, const struct verb *const *verbs, size_t n_verbs);

#endif
