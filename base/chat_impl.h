/* chat_impl.h - what chat.c and chat_answers.c share; see chat.h. */
#ifndef LORAC_BASE_CHAT_IMPL_H
#define LORAC_BASE_CHAT_IMPL_H

#include "base/chat.h"
#include "base/jinja/jinja.h"

struct lorac_chat {
    const struct lorac_tokenizer *t;
    struct lorac_jinja *template;
    struct lorac_buf text; // the template
    json_t *own;           // variables: the special tokens by name
};

/* What the template writes; lorac_jinja_text_free(). */
LORAC_MUST_CHECK enum lorac_status lorac_chat_render(struct lorac_jinja_text *out,
                                                     const struct lorac_chat *c,
                                                     const struct lorac_message *messages, size_t n,
                                                     bool answer, int64_t now,
                                                     struct lorac_err *err);
/* Append the ids of its bytes from .. to-1, which go on from those before. */
LORAC_MUST_CHECK enum lorac_status lorac_chat_ids(struct lorac_ids *ids, const struct lorac_chat *c,
                                                  const struct lorac_jinja_text *text, size_t from,
                                                  size_t to, struct lorac_err *err);

#endif
