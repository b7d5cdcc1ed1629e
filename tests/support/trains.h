/* trains.h - tokenizers learned in the folder of tiny.h: one text, and the folder that is written.
 */
#ifndef LORAC_TESTS_TRAINS_H
#define LORAC_TESTS_TRAINS_H

#include "base/tokenizer/tokenizer.h"
#include "base/tokenizer/train.h"

extern const char *trains_file, *trains_out; // their paths
int trains_make(void **state);               // sets them; tiny_remove() is the tear-down
int trains_clear(void **state); // of each test: one that fails leaves no trains_out to the next

void trains_put(const char *text, size_t n); // write trains_file
/* Options to learn from trains_file. */
struct lorac_tokenizer_options trains_options(size_t vocab_size);
/* The tokenizer of the options, from trains_out, which is removed again. */
struct lorac_tokenizer *trains_new(struct lorac_tokenizer_report *report,
                                   const struct lorac_tokenizer_options *o);

#endif
