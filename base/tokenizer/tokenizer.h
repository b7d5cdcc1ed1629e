/*
 * tokenizer.h - text to token ids and back, from a Hugging Face tokenizer.json.
 *
 * Three families: byte-level BPE (GPT-2, Qwen2, Llama 3), SentencePiece-style BPE with byte
 * fallback (Llama 2, Mistral, Phi-3) and WordPiece (BERT), told apart by what the file says, never
 * by a name. A part of
 * the file that is not understood is refused by name: a tokenizer that ignores a normaliser is
 * a model that reads other words.
 *
 * The one rule of special tokens: their text becomes their id only where the caller says that the
 * text may carry them (a template may, a table's cell may not); one that lies across the border of
 * both is not there. Added tokens that are not special are always recognised, as in the reference.
 *
 * The reference is tokenizers 0.23 on the same tokenizer.json. Deliberate differences: a character
 * that has no token, no bytes and no unknown token is an error (there it vanishes), BOS and EOS are
 * put once (there twice, where the text has them), skipping special tokens skips all of them.
 *
 * A tokenizer is immutable once open; several threads may use one.
 */
#ifndef LORAC_BASE_TOKENIZER_H
#define LORAC_BASE_TOKENIZER_H

#include "base/core/buf.h"
#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

struct lorac_tokenizer;

/* Ids that grow. Zeroed = empty; `at` is owned (lorac_ids_free). */
struct lorac_ids {
    int32_t *at;
    size_t n, cap;
};
LORAC_MUST_CHECK enum lorac_status lorac_ids_add(struct lorac_ids *ids, int32_t id,
                                                 struct lorac_err *err);
void lorac_ids_free(struct lorac_ids *ids);
/* How the tokenizer frames two texts for a model that reads pairs: ids[0] a ids[1] b ids[2], as in
 * "[CLS] a [SEP] b [SEP]", and which type (segment) each id is of. */
struct lorac_pair_form {
    struct lorac_ids ids[3], types[3];
    int32_t type[2]; // of a's ids, of b's
};
/* Append the ids of the framed pair, and their types. */
LORAC_MUST_CHECK enum lorac_status lorac_pair_join(struct lorac_ids *ids, struct lorac_ids *types,
                                                   const struct lorac_pair_form *pair,
                                                   const struct lorac_ids *a,
                                                   const struct lorac_ids *b,
                                                   struct lorac_err *err);
/* How many ids both a (n) and b (m) begin with. */
size_t lorac_ids_common(const int32_t *a, size_t n, const int32_t *b, size_t m);
/* < 0, 0, > 0: a (n) stands before b (m), is the same, or stands behind it where they are sorted by
 * their tokens. So texts that begin alike stand together. */
int lorac_ids_compare(const int32_t *a, size_t n, const int32_t *b, size_t m);

/* Read tokenizer.json, tokenizer_config.json, special_tokens_map.json and generation_config.json /
 * config.json (eos ids) of the model folder `dir`. Only tokenizer.json is required; vocab.json and
 * merges.txt replace it for the classes GPT2Tokenizer, Qwen2Tokenizer, GPTNeoXTokenizer and
 * RobertaTokenizer, vocab.txt for BertTokenizer and DistilBertTokenizer, which
 * tokenizer_config.json names, or config.json's model_type stands for. add_bos_token and
 * add_eos_token of tokenizer_config.json count there alone: what tokenizer.json puts around a text
 * its post-processor says, as in transformers 5. What tokenizer_config.json says of BERT's
 * normaliser (do_lower_case, ...) counts over tokenizer.json, as there. LORAC_ENOTSUP: a part that
 * is not supported; LORAC_EFORMAT: a damaged or contradictory file. */
LORAC_MUST_CHECK enum lorac_status lorac_tokenizer_open(struct lorac_tokenizer **out,
                                                        const char *dir, struct lorac_err *err);
/* The same from one tokenizer.json in memory (`file` names it in messages). */
LORAC_MUST_CHECK enum lorac_status lorac_tokenizer_parse(struct lorac_tokenizer **out,
                                                         const char *json, size_t n,
                                                         const char *file, struct lorac_err *err);
void lorac_tokenizer_free(struct lorac_tokenizer *t);
/* A choice between files that was made in opening, worth telling; NULL: none was. */
const char *lorac_tokenizer_note(const struct lorac_tokenizer *t);

/* A stretch of text. Stretches are joined before they are tokenised, so merges cross them. */
struct lorac_text {
    const char *at; // UTF-8, checked; need not be NUL-terminated
    size_t n;       // bytes
    bool special;   // added tokens that are special are recognised in it; otherwise they are plain
                    // text
};

enum lorac_encode_flags {
    LORAC_ENCODE_ALONE = 0,         // as the reference's encode(..., add_special_tokens=False)
    LORAC_ENCODE_BEGINS = 1 << 0,   // with what the post-processor puts in front (BOS), unless the
                                    // ids begin with it already
    LORAC_ENCODE_ENDS = 1 << 1,     // with what it puts behind, unless the ids end with it
    LORAC_ENCODE_CONTINUES = 1 << 2 // goes on after other tokens: no dummy prefix space
};

/* Append the ids of the texts to `ids`; on an error `ids` is as it was. Invalid UTF-8 is
 * LORAC_EFORMAT with the byte's offset, a character that cannot be encoded LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_encode(struct lorac_ids *ids,
                                                const struct lorac_tokenizer *t,
                                                const struct lorac_text *texts, size_t n_texts,
                                                unsigned flags, struct lorac_err *err);

/* The same for many texts, one after the other: its buffers stay, and so do the ids of the pieces
 * (words) that it has met, up to some megabytes, which makes most of a text a matter of looking up.
 * One thread's at a time. The tokenizer must outlive it. */
struct lorac_encoder;
/* Make *e (NULL: none yet) an encoder of this tokenizer, unless it is one. */
LORAC_MUST_CHECK enum lorac_status lorac_encoder_for(struct lorac_encoder **e,
                                                     const struct lorac_tokenizer *t,
                                                     struct lorac_err *err);
void lorac_encoder_free(struct lorac_encoder *e);
LORAC_MUST_CHECK enum lorac_status lorac_encoder_encode(struct lorac_ids *ids,
                                                        struct lorac_encoder *e,
                                                        const struct lorac_text *texts,
                                                        size_t n_texts, unsigned flags,
                                                        struct lorac_err *err);

/* Append the text of `n` ids. Special tokens are left out where `skip_special`. Bytes that form no
 * UTF-8 become U+FFFD, as in the reference. An id outside the vocabulary is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_decode(struct lorac_buf *text,
                                                const struct lorac_tokenizer *t, const int32_t *ids,
                                                size_t n, bool skip_special, struct lorac_err *err);

/* Decoding token by token: text appears as soon as no later token can change it. With byte-level
 * tokens that is when its UTF-8 is whole; a run of byte-fallback tokens ("<0x0A>") waits for the
 * token behind it. All parts together are what lorac_decode gives. Zeroed = a fresh stream. */
struct lorac_stream {
    struct lorac_ids ids;     // those whose text a later id could still change
    size_t shown;             // bytes of their text already given out
    bool any_token, any_text; // before them
};
/* Append the new text that `id` completes (may be none). */
LORAC_MUST_CHECK enum lorac_status lorac_stream_add(struct lorac_buf *text, struct lorac_stream *s,
                                                    const struct lorac_tokenizer *t, int32_t id,
                                                    bool skip_special, struct lorac_err *err);
/* Append what is left at the end (an unfinished character becomes U+FFFD). */
LORAC_MUST_CHECK enum lorac_status lorac_stream_end(struct lorac_buf *text, struct lorac_stream *s,
                                                    const struct lorac_tokenizer *t,
                                                    bool skip_special, struct lorac_err *err);
void lorac_stream_free(struct lorac_stream *s);

/* The chat template that a folder brings, which base/chat.h applies: of chat_template.jinja, else
 * of tokenizer_config.json (of several, "default", else the first), else of chat_template.json. Its
 * text is appended, *file is the file's name; NULL: it brings none. */
LORAC_MUST_CHECK enum lorac_status lorac_chat_template(struct lorac_buf *text, const char **file,
                                                       const char *dir, struct lorac_err *err);

/* Append the class of transformers that tokenizer_config.json of a folder names; nothing: none. */
LORAC_MUST_CHECK enum lorac_status lorac_tokenizer_class(struct lorac_buf *name, const char *dir,
                                                         struct lorac_err *err);

size_t lorac_tokenizer_size(const struct lorac_tokenizer *t); // ids are 0 .. size-1
/* The token as the vocabulary writes it ("\xC4\xA0the", "<0x0A>"); NULL for an unused id. */
const char *lorac_token_text(const struct lorac_tokenizer *t, int32_t id);
/* 16 hexadecimal digits that tell tokenizers apart: of the SHA-256 over the size and the ids of a
 * few fixed texts (prose, numbers, code, scripts, white space; numbers as little-endian u32). */
enum { LORAC_TOKENIZER_FINGERPRINT = 17 };
LORAC_MUST_CHECK enum lorac_status lorac_tokenizer_fingerprint(
    char out[LORAC_TOKENIZER_FINGERPRINT], const struct lorac_tokenizer *t, struct lorac_err *err);
/* Append what the token adds to a text that goes on: its bytes, which need not be whole UTF-8
 * characters; of a special token its text. An id outside the vocabulary is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_token_bytes(struct lorac_buf *bytes,
                                                     const struct lorac_tokenizer *t, int32_t id,
                                                     struct lorac_err *err);
int32_t lorac_token_find(const struct lorac_tokenizer *t, const char *text); // -1: none
bool lorac_token_is_special(const struct lorac_tokenizer *t, int32_t id);

int32_t lorac_tokenizer_bos(const struct lorac_tokenizer *t); // -1: none
int32_t lorac_tokenizer_eos(
    const struct lorac_tokenizer *t); // the one that training appends; -1: none
int32_t lorac_tokenizer_pad(const struct lorac_tokenizer *t);  // -1: none; nothing here pads
int32_t lorac_tokenizer_mask(const struct lorac_tokenizer *t); // of masked models; -1: none
/* What it puts in front of a text that begins, and behind one that ends. */
const struct lorac_ids *lorac_tokenizer_before(const struct lorac_tokenizer *t);
const struct lorac_ids *lorac_tokenizer_after(const struct lorac_tokenizer *t);
/* NULL: it frames no pairs. */
const struct lorac_pair_form *lorac_tokenizer_pair(const struct lorac_tokenizer *t);
/* True for every id that ends generation: generation_config.json may list several. */
bool lorac_token_is_end(const struct lorac_tokenizer *t, int32_t id);

LORAC_API_END

#endif
