#!/usr/bin/perl
# Counts visits in a file and tells the count.
use strict;
use warnings;
use IO::Socket::INET;

my $file = '/var/lib/journal/visits';
my $server = IO::Socket::INET->new(LocalPort => 9000, Listen => 5, ReuseAddr => 1) or die "port 9000: $!\n";
while (my $client = $server->accept) {
    while (my $line = <$client>) { last if $line =~ /^\s*$/ }
    my $count = 0;
    if (open my $in, '<', $file) { $count = <$in> + 0; close $in }
    open my $out, '>', $file or die "$file: $!\n";
    print $out ++$count, "\n";
    close $out;
    print $client "HTTP/1.0 200 OK\r\n\r\nvisit $count as uid $<\n";
    close $client;
}
