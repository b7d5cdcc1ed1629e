/*
 * tiny.h - a folder for the files of a test, and a whole model for it: a random Llama that thinks
 * in bytes.
 *
 * 2 layers, hidden 16, 2 heads, vocabulary 260: the tokenizer of tests/datasets/data/bytes, whose
 * ids are bytes (<s> 256 in front, </s> 257 ends). Random, yet it learns a rule of one letter in a
 * few steps.
 */
#ifndef LORAC_TESTS_TINY_H
#define LORAC_TESTS_TINY_H

#include <stddef.h>

/* Make the folder and write config.json, model.safetensors and the tokenizer's files. */
void tiny_write(const char *dir);

/* A folder of its own for this test program, in memory where the system has /dev/shm; removed by
 * tiny_remove(), a tear-down of cmocka. */
const char *tiny_dir(void);
int tiny_remove(void **state);
/* "FOLDER/NAME" in it; valid until 16 more calls. */
const char *tiny_path(const char *name);
/* tiny_write() there as "model": a set-up of cmocka. */
int tiny_model(void **state);

/* Write a text file into that folder. */
void tiny_text(const char *name, const char *text);
/* Replace a piece of a text file there, which must hold it. */
void tiny_edit(const char *name, const char *was, const char *is);
/* The last number of model/'s weights becomes NaN; tiny_model() mends it. */
void tiny_spoil(void);
/* All bytes of a file, NUL-terminated, to be freed with lorac_mem_free(); fails the test where
 * there is none. */
char *tiny_read(const char *path, size_t *n);
char *tiny_read_in(const char *folder, const char *name, size_t *n); // of FOLDER/NAME

#endif
