/*
 * chat.h - conversations as a model's chat template writes them, and as token ids.
 *
 * The reference is apply_chat_template() of transformers 5: the template is that of
 * lorac_chat_template() (tokenizer.h), its variables are the messages, the tokenizer's special
 * tokens and add_generation_prompt, and its text is encoded without anything put around it: BOS
 * comes from the template or not at all. One difference: special tokens in what somebody typed are
 * text.
 */
#ifndef LORAC_BASE_CHAT_H
#define LORAC_BASE_CHAT_H

#include "base/tokenizer/tokenizer.h"

LORAC_API_BEGIN

/* A chat template and the names of the tokens that it may use. Immutable, several threads may use
 * one; the tokenizer must outlive it. */
struct lorac_chat;

/* Of a model's (or adapter's) folder. LORAC_EUSER: it brings no chat template. */
LORAC_MUST_CHECK enum lorac_status lorac_chat_open(struct lorac_chat **out, const char *dir,
                                                   const struct lorac_tokenizer *t,
                                                   struct lorac_err *err);
/* The same; the chat template of an adapter's folder comes first, where it brings one (NULL: no
 * adapter). */
LORAC_MUST_CHECK enum lorac_status lorac_chat_open_for(struct lorac_chat **out, const char *dir,
                                                       const char *adapter,
                                                       const struct lorac_tokenizer *t,
                                                       struct lorac_err *err);
void lorac_chat_free(struct lorac_chat *c);              // NULL is accepted
const char *lorac_chat_text(const struct lorac_chat *c); // the template itself
bool lorac_chat_writes_date(const struct lorac_chat *c); // it may write today's

struct lorac_message {
    const char *role;    // "system", "user", "assistant"
    const char *content; // UTF-8
    bool untrained;      // an answer that lorac_chat_answers() leaves out
};
/* Messages that own their texts; zeroed = none. */
struct lorac_messages {
    struct lorac_message *at;
    size_t n, cap;
};
/* One more, its texts copied; one with a NUL byte is refused. */
LORAC_MUST_CHECK enum lorac_status lorac_messages_add(struct lorac_messages *m, const char *role,
                                                      const char *content, size_t n,
                                                      struct lorac_err *err);
/* Append those of JSON: a list of {"role", "content"}, or of ShareGPT's {"from", "value"} (human,
 * gpt), or {"messages": [...]} (`name` stands in messages). Content may be a list of parts that are
 * text: they are joined. Tool calls, and other parts, are refused by name. */
LORAC_MUST_CHECK enum lorac_status lorac_messages_read(struct lorac_messages *m, const char *json,
                                                       size_t n, const char *name,
                                                       struct lorac_err *err);
void lorac_messages_drop(struct lorac_messages *m); // the last of them, of n > 0
void lorac_messages_free(struct lorac_messages *m);

/* Append the conversation's ids; `answer`: up to where the assistant's answer begins
 * (add_generation_prompt). `text`, unless NULL, is replaced by what the template wrote. `now`
 * (seconds of the epoch) is today for templates that write a date. LORAC_EUSER: the template
 * refuses, with its own words. */
LORAC_MUST_CHECK enum lorac_status lorac_chat_encode(struct lorac_ids *ids, struct lorac_buf *text,
                                                     const struct lorac_chat *c,
                                                     const struct lorac_message *messages, size_t n,
                                                     bool answer, int64_t now,
                                                     struct lorac_err *err);

/* The same of a whole conversation; answers (ids.n bytes appended to `answers`) is 1 for the tokens
 * of the assistant's turns, the one that ends the turn included. Of all turns, or of the last one
 * alone; but of none that is untrained.
 *
 * They are what the template marks ({% generation %}); without such marks those that stand behind
 * what the model is asked with (messages before the turn, `answer`). No token lies across the
 * beginning of an answer: where one would (an answer that begins with white space), the ids are
 * those of the two sides, as the model meets them when it is asked. LORAC_EUSER: there is no
 * such turn, or it cannot be told which marks are whose, or the template writes it otherwise than
 * it asks for it, or otherwise once more follows (then the last turn alone can be taken).
 */
LORAC_MUST_CHECK enum lorac_status lorac_chat_answers(
    struct lorac_ids *ids, struct lorac_buf *answers, const struct lorac_chat *c,
    const struct lorac_message *messages, size_t n, bool last, int64_t now, struct lorac_err *err);

LORAC_API_END

#endif
