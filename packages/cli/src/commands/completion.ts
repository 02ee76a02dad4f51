import type { Context } from '../context.js';
import { example, type Define } from '../program.js';

/** Each asks `cairn __complete` what the words typed so far may become: lines of a value, a tab, and a description. */
const SCRIPTS: Record<string, string> = {
  // The line is cut at spaces alone: bash itself would also cut VOL@REF:/PATH.
  bash: `_cairn() {
  local -a words
  read -ra words <<< "\${COMP_LINE:0:COMP_POINT}"
  [[ "\${COMP_LINE:0:COMP_POINT}" == *' ' ]] && words+=('')
  COMPREPLY=()
  local value
  while IFS=$'\\t' read -r value _; do
    COMPREPLY+=("$value")
  done < <("\${words[0]}" __complete "\${words[@]:1}" 2>/dev/null)
}
complete -o default -F _cairn cairn`,
  zsh: `#compdef cairn
_cairn() {
  local -a lines
  lines=("\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  lines=("\${(@)lines:#}")
  if (( \${#lines} == 0 )); then
    _files
    return
  fi
  lines=("\${(@)lines//:/\\\\:}")
  lines=("\${(@)lines/$'\\t'/:}")
  _describe cairn lines
}
compdef _cairn cairn`,
  fish: `function __cairn_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l lines ($words[1] __complete $words[2..-1] 2>/dev/null)
  if test (count $lines) -eq 0
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $lines
  end
end
complete -c cairn -f -a '(__cairn_complete)'`,
};

export const define: Define = (command, act) => {
  command
    .addArgument(command.createArgument('<shell>', 'the shell that reads it').choices(Object.keys(SCRIPTS)))
    .addHelpText(
      'after',
      example(
        'source <(cairn completion bash)',
        'Into ~/.bashrc or, with zsh, ~/.zshrc after compinit. For fish: cairn completion fish > ~/.config/fish/completions/cairn.fish',
      ),
    )
    .action(act(completion));
};

async function completion(context: Context, shell: string): Promise<void> {
  const script = SCRIPTS[shell] ?? '';
  if (context.json) return context.output.json({ shell, script });
  await context.output.line(script);
}
