# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Completion for bash: platter's verbs and options, what is attached here, and the exports of servers.

# In vain rather than for long: a server may be asked.
_platter_ask() {
	timeout 2 "$_platter_program" "$@" 2>/dev/null </dev/null
}

# The values of KEY in what platter prints as JSON, each member on a line of its own.
_platter_values() { # KEY WORD...
	local key=$1
	shift
	_platter_ask --json "$@" | sed -n 's/^ *"'"$key"'": "\(.*\)",\{0,1\}$/\1/p' | sed 's/\\\(["\\]\)/\1/g' | sort -u
}

_platter_names() { _platter_values name list; }
_platter_devices() { _platter_values device list; }

# "verb arguments   help", two blanks in front.
_platter_verbs() { _platter_ask --help | awk '/^  [a-z]/ { print $1 }'; }

# Of `attach`, as the help has them, with = where a value follows.
_platter_attach_options() {
	_platter_ask --help | sed -n '/^Options of attach:/,/^$/s/^ *\(--[a-z-]*=\{0,1\}\).*/\1/p'
}

# What of WORD stands before the part that bash replaces: it takes words apart at '=' and ':'.
_platter_head() { # WORD
	local breaks=${COMP_WORDBREAKS//[^=:]/}
	[[ -z $breaks ]] || printf %s "${1%"${1##*["$breaks"]}"}"
}

# Offers those lines of the input that go on from WORD.
_platter_offer() { # WORD
	local line head
	head=$(_platter_head "$1")
	while IFS= read -r line; do
		[[ -n $line && $line == "$1"* ]] && COMPREPLY+=("$(printf %q "${line#"$head"}")")
	done
}

# Files, or directories (-d), for the value behind "--option=" in WORD.
_platter_offer_files() { # WORD -f|-d
	local line
	compopt -o filenames 2>/dev/null
	while IFS= read -r line; do
		COMPREPLY+=("$line")
	done < <(compgen "$2" -- "${1#--*=}")
}

# The lines of the input as a URI has them.
_platter_encoded() {
	local LC_ALL=C line text letter
	local -i i
	while IFS= read -r line; do
		text=
		for ((i = 0; i < ${#line}; i++)); do
			letter=${line:i:1}
			[[ $letter == [A-Za-z0-9._~/-] ]] || printf -v letter %%%02X "'$letter"
			text+=$letter
		done
		printf '%s\n' "$text"
	done
}

# Schemes, and once the server is there its exports.
_platter_offer_uri() { # WORD
	local server
	compopt -o nospace 2>/dev/null
	if [[ $1 == nbd://*/* || $1 == nbds://*/* ]]; then
		server=${1%"${1#*://*/}"}
		_platter_offer "$1" < <(_platter_values name exports "$server" | _platter_encoded | sed "s|^|$server|")
	else
		_platter_offer "$1" < <(printf '%s\n' nbd:// nbds:// nbd+unix:/// nbds+unix:///)
	fi
}

_platter_options() { # VERB
	case $1 in
	'') printf '%s\n' --json --version --help ;;
	attach) _platter_attach_options ;;
	detach) printf '%s\n' --force --umount --wait --all ;;
	ping) echo --wait ;;
	*) echo --json ;;
	esac
}

_platter_arguments() { # VERB CURRENT INDEX
	case $1:$3 in
	attach:1)
		_platter_offer_uri "$2"
		_platter_offer "$2" < <(_platter_values name check)
		;;
	exports:1 | info:1 | ping:1) _platter_offer_uri "$2" ;;
	detach:* | status:1 | reconnect:1 | resize:1)
		_platter_offer "$2" < <(
			_platter_names
			[[ $2 != /* ]] || _platter_devices
		)
		;;
	esac
}

_platter() { # PROGRAM
	local _platter_program=$1 word current last=
	local -a words=() plain=()
	local -i i

	# Puts together what bash took apart.
	for ((i = 1; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if ((i > 1)) && [[ $word == [=:]* || (-n $word && $last == *[=:]) ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		last=${words[-1]}
	done
	current=${last//\\/}
	unset 'words[-1]'
	last=
	for word in "${words[@]}"; do
		# What stands behind an option that takes a value is the value.
		case $last in
		--name | --device | --connections | --timeout | --dead-timeout | --tls-certificates | --tls-psk | --tls-hostname) last= ;;
		*)
			last=$word
			[[ $word == -* ]] || plain+=("${word//\\/}")
			;;
		esac
	done

	COMPREPLY=()
	case $last:$current in
	--tls-certificates:* | *:--tls-certificates=*) _platter_offer_files "$current" -d ;;
	--tls-psk:* | *:--tls-psk=*) _platter_offer_files "$current" -f ;;
	--dead-timeout:* | *:--dead-timeout=*) _platter_offer "${current#--*=}" < <(echo infinity) ;;
	--name:* | --device:* | --connections:* | --timeout:* | --tls-hostname:* | *:--*=*) ;;
	*:-*)
		_platter_offer "$current" < <(_platter_options "${plain[0]-}")
		[[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null
		;;
	*)
		if ((${#plain[@]} == 0)); then
			_platter_offer "$current" < <(_platter_verbs)
		else
			_platter_arguments "${plain[0]}" "$current" ${#plain[@]}
		fi
		;;
	esac
}

complete -F _platter platter
