package TestCompiler;

# Programs in C or C++ that include the headers of include/.
#
#   TestCompiler::need();                       # leaves the file out where there is no C compiler
#   for my $language (TestCompiler::languages()) {
#       SKIP: {
#           my $program = TestCompiler::build($language, $source, '-O1') // skip "...", 2;
#       }
#   }

use strict;
use warnings;
use FindBin;
use Test::More ();

my $INCLUDE = "$FindBin::Bin/../include";

sub first { return (grep { system("command -v '$_' >/dev/null 2>&1") == 0 } @_)[0] }

my %COMPILER = (C => first($ENV{CC} // (), qw(cc gcc clang)), 'C++' => first(qw(c++ g++ clang++)));
my %FLAGS = (C => '-std=c99', 'C++' => '-x c++');

sub languages { return ('C', 'C++') }

sub need { Test::More::plan(skip_all => 'there is no C compiler') unless $COMPILER{C} }

# The program that the source makes, without a warning; undef where the language has no compiler.
sub build {
    my ($language, $source, @flags) = @_;
    my $compiler = $COMPILER{$language} // return undef;
    my $program = $source =~ s/\.c\z//r;
    my $complaints = `$compiler $FLAGS{$language} @flags -Wall -Wextra -Werror -I '$INCLUDE' -o '$program' '$source' 2>&1`;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::is($? >> 8, 0, "$language compiles the header without a warning") or Test::More::diag($complaints);
    return $program;
}

1;
