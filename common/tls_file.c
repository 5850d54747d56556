/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/tls_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "common/utf8.h"

int tls_fail(const struct tls_reason *reason, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason->text, reason->size, format, arguments);
	va_end(arguments);
	return -error;
}

int tls_fail_openssl(const struct tls_reason *reason, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return tls_fail(reason, EINVAL, "%s: %s", what, why ? why : "cannot be used");
}

int tls_fail_file(const struct tls_reason *reason, const char *path)
{
	int error = access(path, R_OK) < 0 ? errno : 0;

	if (error) {
		ERR_clear_error();
		return tls_fail(reason, error, "%s: %s", path, strerror(error));
	}
	return tls_fail_openssl(reason, path);
}

int tls_check_secret(const char *path, const struct tls_reason *reason)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return tls_fail(reason, errno, "%s: %s", path, strerror(errno));
	if (status.st_mode & S_IRWXO)
		return tls_fail(reason, EPERM, "%s: everybody on this machine may read or change it; chmod o= it", path);
	return 0;
}

void tls_free_keys(struct tls_key *key)
{
	while (key) {
		struct tls_key *next = key->next;

		OPENSSL_cleanse(key, sizeof(*key));
		free(key);
		key = next;
	}
}

const struct tls_key *tls_find_key(const struct tls_key *keys, const char *identity)
{
	while (keys && strcmp(keys->identity, identity) != 0)
		keys = keys->next;
	return keys;
}

static int hex_digit(char character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	return isxdigit((unsigned char)character) ? (character | 0x20) - 'a' + 10 : -1;
}

/* "IDENTITY:KEY"; false: that it isn't. */
static bool parse_key(struct tls_key *key, const char *line, size_t length)
{
	/* An identity may have colons, a key may not. */
	const char *colon = memrchr(line, ':', length);
	const char *hex = colon ? colon + 1 : NULL;
	size_t digits = colon ? (size_t)(line + length - hex) : 0;

	if (!colon || colon == line || (size_t)(colon - line) >= sizeof(key->identity) || digits == 0 || digits % 2 ||
	    digits / 2 > sizeof(key->bytes))
		return false;
	for (size_t i = 0; i < digits; i += 2) {
		int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return false;
		key->bytes[key->length++] = (unsigned char)(high << 4 | low);
	}
	memcpy(key->identity, line, (size_t)(colon - line));
	/* It is shown to people. */
	return utf8_is_line(key->identity);
}

static int add_key(struct tls_key **keys, const char *line, size_t length)
{
	struct tls_key *key = calloc(1, sizeof(*key));

	if (!key)
		return -ENOMEM;
	if (!parse_key(key, line, length)) {
		free(key);
		return -EINVAL;
	}
	key->next = *keys;
	*keys = key;
	return 0;
}

static int read_keys(FILE *file, struct tls_key **keys, const char *path, const struct tls_reason *reason)
{
	char *line = NULL;
	size_t size = 0;
	unsigned number = 0;
	ssize_t length;
	int result = 0;

	while (result == 0 && (length = getline(&line, &size, file)) >= 0) {
		number++;
		while (length && isspace((unsigned char)line[length - 1]))
			length--;
		if (length && line[0] != '#')
			result = add_key(keys, line, (size_t)length);
	}
	if (line)
		OPENSSL_cleanse(line, size);
	free(line);
	if (result < 0)
		return tls_fail(reason, -result, "%s, line %u: %s", path, number,
			    result == -ENOMEM ? "no memory" : "not IDENTITY:KEY with a key of 1 to 64 bytes in hexadecimal");
	return *keys ? 0 : tls_fail(reason, EINVAL, "%s: there is no key in it", path);
}

int tls_load_keys(struct tls_key **keys, const char *path, const struct tls_reason *reason)
{
	FILE *file;
	int result = tls_check_secret(path, reason);

	*keys = NULL;
	if (result < 0)
		return result;
	file = fopen(path, "re");
	if (!file)
		return tls_fail(reason, errno, "%s: %s", path, strerror(errno));
	result = read_keys(file, keys, path, reason);
	fclose(file);
	if (result < 0) {
		tls_free_keys(*keys);
		*keys = NULL;
	}
	return result;
}
