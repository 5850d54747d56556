# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Completion for bash: platterctl's verbs, and what the running server has: disks, exports, modules, parameters.

# Asks the server that the command line names; in vain rather than for long.
_platterctl_ask() {
	timeout 2 "$_platterctl_program" "${_platterctl_server[@]}" "$@" 2>/dev/null </dev/null
}

# The values of KEY in a listing; platterctl prints each member on a line of its own.
_platterctl_values() { # KEY VERB
	_platterctl_ask --json "$2" | sed -n 's/^ *"'"$1"'": "\(.*\)",\{0,1\}$/\1/p' | sed 's/\\\(["\\]\)/\1/g'
}

_platterctl_disks() { _platterctl_values name lsblk; }
_platterctl_exports() { _platterctl_values name exports; }
_platterctl_modules() { _platterctl_ask lsmod | awk 'NR > 1 { print $1 }'; }
_platterctl_parameters() { _platterctl_ask param "$1" | sed -n 's/^\([A-Za-z0-9_-]*\)=.*/\1/p'; }
_platterctl_commands() { _platterctl_ask ioctl "$1" | awk 'NR > 1 { print $1 }'; }
_platterctl_marks() { _platterctl_ask marks | awk -v disk="$1" 'NR > 1 && $1 == disk { print $2 }'; }
_platterctl_attributes() { _platterctl_ask queue "$1" | awk 'NR > 1 { print $1 }'; }

# Those that the server's modprobe finds: "NAME.so: what it needs", with or without a folder.
_platterctl_installed() {
	local directory
	directory=$(_platterctl_values modules version)
	[[ -n $directory ]] && sed -n 's|^\([^:]*/\)*\([^:/]*\)\.so:.*|\2|p' "$directory/modules.dep" 2>/dev/null
}

_platterctl_names() { { _platterctl_installed; _platterctl_modules; } | sort -u; }

# The parameters of a module, loaded or not, or a file.
_platterctl_settable() { _platterctl_ask modinfo "$1" | sed -n 's/^parm: *\([A-Za-z0-9_-]*\):.*/\1=/p'; }

# "verb arguments   help", two blanks in front.
_platterctl_verbs() { _platterctl_ask --help | awk '/^  [a-z]/ { print $1 }' | sort -u; }
_platterctl_export_verbs() { _platterctl_ask --help | awk '/^  export / { print $2 }'; }

# What of WORD stands before the part that bash replaces: it takes words apart at '=' and ':'.
_platterctl_head() { # WORD
	local breaks=${COMP_WORDBREAKS//[^=:]/}
	[[ -z $breaks ]] || printf %s "${1%"${1##*["$breaks"]}"}"
}

# Offers those lines of the input that go on from WORD.
_platterctl_offer() { # WORD
	local line head
	head=$(_platterctl_head "$1")
	while IFS= read -r line; do
		[[ -n $line && $line == "$1"* ]] && COMPREPLY+=("$(printf %q "${line#"$head"}")")
	done
}

_platterctl_offer_files() { # WORD [PATTERN]
	local line head
	head=$(_platterctl_head "$1")
	compopt -o filenames 2>/dev/null
	while IFS= read -r line; do
		COMPREPLY+=("${line#"$head"}")
	done < <(compgen -f -X "${2:+!$2}" -- "$1"; [[ -z ${2-} ]] || compgen -d -- "$1")
}

# An export as `export add` takes it: [NAME=]DRIVER:... or [NAME=]PATH.
_platterctl_offer_spec() { # WORD
	local what=${1##*=}
	case $what in
	disk:*) _platterctl_offer "$what" < <(_platterctl_disks | sed 's/^/disk:/') ;;
	/* | .*) _platterctl_offer_files "$what" ;;
	*:* | *,*) ;;
	*)
		compopt -o nospace 2>/dev/null
		_platterctl_offer "$what" < <(
			echo disk:
			_platterctl_ask devices | awk 'NR > 1 { print $2 ":" }'
		)
		;;
	esac
}

# What stands before the verb's word I, without options, is in WORDS; CURRENT is that word.
_platterctl_arguments() { # VERB I CURRENT WORDS...
	local verb=$1 current=$3
	local -i index=$2
	shift 3
	case $verb:$index in
	export:1) _platterctl_offer "$current" < <(_platterctl_export_verbs) ;;
	export:*)
		case $1:$index in
		add:*) _platterctl_offer_spec "$current" ;;
		remove:*) _platterctl_offer "$current" < <(_platterctl_exports) ;;
		resize:2) _platterctl_offer "$current" < <(_platterctl_disks) ;;
		esac
		;;
	check:1 | clear-error:1 | ioctl:1 | mark:1 | queue:1 | stats:1 | unmark:1) _platterctl_offer "$current" < <(_platterctl_disks) ;;
	unmark:2) _platterctl_offer "$current" < <(_platterctl_marks "$1") ;;
	ioctl:2) _platterctl_offer "$current" < <(_platterctl_commands "$1") ;;
	queue:*) _platterctl_offer "$current" < <(_platterctl_attributes "$1") ;;
	insmod:1) _platterctl_offer_files "$current" '*.so' ;;
	rmmod:*) _platterctl_offer "$current" < <(_platterctl_modules) ;;
	modinfo:1)
		_platterctl_offer "$current" < <(_platterctl_names)
		_platterctl_offer_files "$current" '*.so'
		;;
	modprobe:1) _platterctl_offer "$current" < <(_platterctl_names) ;;
	insmod:* | modprobe:*)
		if [[ $current != *=* ]]; then
			compopt -o nospace 2>/dev/null
			_platterctl_offer "$current" < <(_platterctl_settable "$1")
		fi
		;;
	depmod:1) _platterctl_offer_files "$current" '' ;;
	param:1) _platterctl_offer "$current" < <(_platterctl_modules) ;;
	param:2) _platterctl_offer "$current" < <(_platterctl_parameters "$1") ;;
	esac
}

_platterctl_options() { # VERB
	case $1 in
	'') printf '%s\n' --socket= --json --version --help ;;
	dmesg) printf '%s\n' -w --follow -T --ctime -x --decode -l --level= --json ;;
	export) printf '%s\n' --drain --save --json ;;
	rmmod) printf '%s\n' --drain --json ;;
	iostat) printf '%s\n' -x --json ;;
	modprobe) printf '%s\n' -r --json ;;
	*) echo --json ;;
	esac
}

_platterctl() { # PROGRAM
	local _platterctl_program=$1 word current last=
	local -a _platterctl_server=() words=() plain=()
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
	for ((i = 0; i < ${#words[@]}; i++)); do
		last=${words[i]}
		case $last in
		--socket) _platterctl_server=(--socket "${words[++i]-}") ;;
		--socket=*) _platterctl_server=("$last") ;;
		-*) ;;
		*) plain+=("${last//\\/}") ;;
		esac
	done

	COMPREPLY=()
	if [[ $last == --socket || $current == --socket=* ]]; then
		_platterctl_offer_files "${current#--socket=}"
	elif [[ ${plain[0]-} == dmesg && ($last == -l || $last == --level) ]]; then
		_platterctl_offer "$current" < <(printf '%s\n' err warn notice info debug)
	elif [[ $current == -* ]]; then
		_platterctl_offer "$current" < <(_platterctl_options "${plain[0]-}")
		[[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null
	elif ((${#plain[@]} == 0)); then
		_platterctl_offer "$current" < <(_platterctl_verbs)
	else
		_platterctl_arguments "${plain[0]}" ${#plain[@]} "$current" "${plain[@]:1}"
	fi
}

complete -F _platterctl platterctl
